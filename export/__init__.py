"""Export a policy as policy.onnx and C, and prove that both compute the same."""
