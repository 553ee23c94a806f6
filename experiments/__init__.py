"""Experiments: grids of the commands, on one machine or a cluster, and their statistics."""
