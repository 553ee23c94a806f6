"""Shared parts of networks: numpy networks that act, flat Adam, noise, checkpoints, the training
loop."""
