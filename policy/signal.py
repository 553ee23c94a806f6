"""A signal: one number of an observation or of the action, its name, unit, scale and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sparsectl.common.errors import UserError


@dataclass(frozen=True)
class Signal:
    """One element of an observation's frame or of the action, in physical units.

    normalised = (physical - offset) / scale for observations;
    physical = clip(normalised * scale + offset, low, high) for actions.
    A limit of None is none; one beyond float32 becomes None.
    """

    name: str
    unit: str = "1"
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    levels: tuple[float, ...] = ()
    """Of an action that is an index: what each index stands for, in the actuator's unit; none
    where the index is all that is known."""

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            scale, offset = np.float32(self.scale), np.float32(self.offset)
        if not np.isfinite(scale) or scale == 0:
            raise UserError(
                f"signal {self.name!r} has scale {self.scale}; give a finite one that is not 0"
            )
        if not np.isfinite(offset):
            raise UserError(f"signal {self.name!r} has offset {self.offset}; give a finite one")
        with np.errstate(over="ignore"):
            low = np.float32(-math.inf if self.low is None else self.low)
            high = np.float32(math.inf if self.high is None else self.high)
        if not (low <= high and low < math.inf and high > -math.inf):
            raise UserError(
                f"signal {self.name!r} has limits [{self.low}, {self.high}]; give low <= high"
            )
        if not all(abs(level) <= np.finfo(np.float32).max for level in self.levels):
            raise UserError(f"signal {self.name!r} has levels {self.levels}; give finite numbers")
        if low == -math.inf:
            object.__setattr__(self, "low", None)
        if high == math.inf:
            object.__setattr__(self, "high", None)
