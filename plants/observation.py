"""Compute the policy's observation from encoder counts, as the firmware does."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from sparsectl.plants.rig import Rig

SIGNALS = 5


class Observer:
    """Turns encoder counts, one pair a control period, into stacked frames of signals.

    A frame is base position, base velocity, sine and cosine of the pole's angle, pole velocity, in
    SI units. A velocity is the difference of two positions over the nominal period: the firmware
    knows no other. The oldest frame comes first; at a reset the first frame fills the history.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._history: deque[tuple[float, ...]] = deque(maxlen=rig.frames)
        self._last = (0, 0)

    def reset(self, counts: tuple[int, int]) -> NDArray[np.float32]:
        """Start with the rig at rest at `counts`; return the observation, shape [frames * 5]."""
        self._history.clear()
        self._last = counts
        frame = self._frame(counts)
        self._history.extend([frame] * self.rig.frames)
        return self._stacked()

    def observe(self, counts: tuple[int, int]) -> NDArray[np.float32]:
        """Add the counts of the next control period; return the observation, shape [frames * 5]."""
        self._history.append(self._frame(counts))
        self._last = counts
        return self._stacked()

    def _frame(self, counts: tuple[int, int]) -> tuple[float, ...]:
        base_unit, pole_rad = self.rig.base.unit_per_count, self.rig.pole_rad_per_count
        angle = math.pi + counts[1] * pole_rad  # count 0 is hanging
        return (
            counts[0] * base_unit,
            (counts[0] - self._last[0]) * base_unit / self.rig.period_s,
            math.sin(angle),
            math.cos(angle),
            (counts[1] - self._last[1]) * pole_rad / self.rig.period_s,
        )

    def _stacked(self) -> NDArray[np.float32]:
        return np.array(self._history, dtype=np.float32).reshape(-1)
