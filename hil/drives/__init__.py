"""Drives, and what stops them: safety checks, e-stop, waiting for rest."""
