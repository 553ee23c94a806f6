"""What float32 explains: how far the source's own rounding moves its actions."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsectl.export.inputs import Batch
from sparsectl.export.source.source import Source
from sparsectl.policy.activations import Float64

ROUNDED_ROWS = 1000
"""The most observations whose rounding is sampled; half of them are the furthest off."""


class SourceRounding:
    """The rounding errors of a source; an observation's is sampled once.

    Args:
        source: whose.
        action_size: number of its actions.
    """

    def __init__(self, source: Source, action_size: int) -> None:
        self._source, self._action_size = source, action_size
        self._roundings: dict[str, Float64] = {}

    def raised(self, batch: Batch, difference: Float64, limit: Float64) -> tuple[Float64, float]:
        """Return the limit, raised to the source's float32 rounding if needed, and the greatest
        rounding. Of very many observations, the furthest off and as many others are examined."""
        excess = (difference / limit).max(axis=1)
        rows = np.flatnonzero(~(excess <= 1))
        if not len(rows):
            return limit, 0.0
        if len(rows) > ROUNDED_ROWS:
            rows = rows[np.argsort(-excess[rows])]
            half = ROUNDED_ROWS // 2
            rest = rows[half:]
            looked_at = np.concatenate([rows[:half], rest[:: -(-len(rest) // half)]])
        else:
            looked_at = rows
        rounding = self._of(batch, looked_at)
        allowed = limit.copy()
        others = np.setdiff1d(rows, looked_at)
        allowed[others] = np.inf
        allowed[looked_at] = np.fmax(limit[looked_at], rounding)
        return allowed, float(np.nanmax(np.append(rounding, 0.0)))

    def _of(self, batch: Batch, rows: Any) -> Float64:
        """Return the source's rounding error for those rows; each is sampled once."""
        size = (len(batch.observations), self._action_size)
        known = self._roundings.setdefault(batch.name, np.full(size, -1.0))
        fresh = rows[known[rows, 0] == -1]
        if len(fresh):
            known[fresh] = self._source.rounding(batch.observations[fresh])
        return np.asarray(known[rows])
