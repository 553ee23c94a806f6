"""The user's file, run unchanged; every export is compared with it."""
