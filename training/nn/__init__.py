"""What networks share: numpy networks that act, flat Adam, noise, checkpoints, the loop."""
