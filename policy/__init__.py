"""Policies: graph, layers, activations and signals, and the readers of their files."""
