"""The user's file, run unchanged: the reference that every export is compared with."""
