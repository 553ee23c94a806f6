"""ONNX in and out: a file of any exporter becomes a PolicyGraph, or is refused by name."""
