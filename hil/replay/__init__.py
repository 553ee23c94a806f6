"""`sparsectl replay`: a journal run again through the compiled policy and the firmware's core."""
