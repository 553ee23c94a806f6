"""Student in, policy.onnx and C out."""
