"""Bounds of the integers in a fixed-point policy, for any observation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.matrix import Int
from sparsectl.export.encodings.fixed.policy import FixedLayer


@dataclass(frozen=True)
class Bounds:
    """Bounds of sums, or of the values that a layer takes."""

    lowest: Int
    highest: Int

    @property
    def magnitude(self) -> Int:
        return np.maximum(-self.lowest, self.highest)

    @property
    def with_zero(self) -> Bounds:
        """Include 0: a sum starts from its bias, and a part of its terms may reach further than all
        of them."""
        return Bounds(np.minimum(self.lowest, 0), np.maximum(self.highest, 0))


def sum_bounds(weight: Int, bias: Int, inputs: Bounds) -> Bounds:
    """Return the bounds of weight x + bias."""
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    lowest = positive @ inputs.lowest + negative @ inputs.highest + bias
    highest = positive @ inputs.highest + negative @ inputs.lowest + bias
    return Bounds(lowest.astype(np.int64), highest.astype(np.int64))


def running_bounds(weight: Int, bias: Int, inputs: Bounds) -> Bounds:
    """Return the bounds of bias plus any subset of the terms of weight x: of the accumulator at any
    time."""
    return sum_bounds(weight, bias, inputs.with_zero)


def value_bounds(layer: FixedLayer, sums: Bounds, shift: int | None) -> Bounds:
    """Return the bounds of a layer's values; `shift`: the shift from its sums to them, None if an
    activation is between."""
    if shift is None:
        limit = fixed_tanh.ONE if layer.integer else layer.limit
        everything = np.full(layer.layer.results, limit, np.int64)
        return Bounds(-everything, everything)
    low = 0 if layer.layer.activation == "relu" else -layer.limit
    return Bounds(
        np.clip(sums.lowest >> shift, low, layer.limit),
        np.clip(sums.highest >> shift, low, layer.limit),
    )
