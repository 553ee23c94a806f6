"""Gravity, as every simulation and bound here takes it."""

from typing import Final

GRAVITY: Final = 9.81
"""Acceleration of gravity, in m/s^2."""
