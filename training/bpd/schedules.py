"""How the weight η of the divergence grows while a student is distilled."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float, float, float], float]
"""Maps (progress 0 … 1, rate ν, cap) to η; except for constant, η reaches the cap at progress cap /
ν."""

STEEPNESS = 5.0
"""Exponent of the exponential schedule, which starts at e⁻⁵, below a hundredth, of the linear one's
mean slope."""


def constant(progress: float, rate: float, cap: float) -> float:
    """η is the cap from the start."""
    return cap


def linear(progress: float, rate: float, cap: float) -> float:
    """η = ν · step / steps, up to the cap: the paper's."""
    return min(rate * progress, cap)


def exponential(progress: float, rate: float, cap: float) -> float:
    """Slow at first: η = cap · (e^5r - 1) / (e^5 - 1) with r the linear schedule's share."""
    share = _share(progress, rate, cap)
    return cap * math.expm1(STEEPNESS * share) / math.expm1(STEEPNESS)


def cosine(progress: float, rate: float, cap: float) -> float:
    """Slow at both ends: η = cap · (1 - cos πr) / 2 with r the linear schedule's share."""
    return cap * (1 - math.cos(math.pi * _share(progress, rate, cap))) / 2


def _share(progress: float, rate: float, cap: float) -> float:
    return min(rate * progress / cap, 1.0) if cap else 0.0


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "exponential": exponential,
    "cosine": cosine,
}
