"""Policies that act on the host: networks in numpy or onnxruntime, with or without a state."""
