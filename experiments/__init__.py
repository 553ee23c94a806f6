"""Experiments: grids of the commands, on one machine or a cluster, and what they say together."""
