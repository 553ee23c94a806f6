"""Encodings, one per module: how the weights of a graph are stored in flash, and the C that reads
them."""
