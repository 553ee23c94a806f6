"""Encodings, one module each: how a graph's weights are stored in flash, and the C that reads
them."""
