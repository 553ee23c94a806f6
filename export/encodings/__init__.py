"""Encodings: how a graph's weights lie in flash and the C that reads them, a module each."""
