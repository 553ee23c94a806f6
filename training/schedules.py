"""How the weight η of the divergence grows while a student is distilled."""

from __future__ import annotations

from collections.abc import Callable

Schedule = Callable[[float, float, float], float]
"""(progress 0 … 1, rate ν, cap) → η."""


def linear(progress: float, rate: float, cap: float) -> float:
    """η = ν · step / steps, up to the cap: the paper's."""
    return min(rate * progress, cap)


SCHEDULES: dict[str, Schedule] = {"linear": linear}
