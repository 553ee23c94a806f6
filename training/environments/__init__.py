"""Gymnasium environments as the user has them, checked, flattened, with their signals."""
