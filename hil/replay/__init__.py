"""`sparsectl replay`: run a journal again through the compiled policy and the firmware's core."""
