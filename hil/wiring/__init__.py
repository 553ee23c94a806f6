"""Determine which way motor and encoders count, by small test movements."""
