"""Gravity, as every simulation and bound here takes it."""

from typing import Final

GRAVITY: Final = 9.81
"""In m/s^2."""
