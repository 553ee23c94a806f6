"""`sparsectl teach`: teachers by Stable-Baselines3 and SBX, and the shipped ones."""
