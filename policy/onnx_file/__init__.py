"""Read and write ONNX: a file from any exporter becomes a PolicyGraph, or is refused with the name
of what is not supported."""
