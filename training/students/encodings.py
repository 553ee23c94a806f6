"""Rounding of weights as an encoding of the export does it, for fine-tuning that allows for it.

The forward pass uses the rounded weights, and the gradient passes unchanged: the
straight-through estimator (Bengio, Léonard, Courville 2013).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Encoding = Callable[[Tensor], Tensor]
"""A layer's weights [out, in] → the nearest values that the encoding represents."""


def as_it_is(weight: Tensor) -> Tensor:
    """Return the weights unchanged, as float32 does."""
    return weight


def half(weight: Tensor) -> Tensor:
    """Round to float16, with a significand of eleven bits."""
    return _straight_through(weight, weight.detach().half().float())


def integers(weight: Tensor, largest: int) -> Tensor:
    """Round each row to multiples of one step, so that its greatest weight is ±`largest` steps."""
    rows = weight.detach()
    step = (rows.abs().amax(dim=-1, keepdim=True) / largest).clamp_min(1e-30)
    return _straight_through(weight, torch.round(rows / step) * step)


def _straight_through(weight: Tensor, rounded: Tensor) -> Tensor:
    return weight - weight.detach() + rounded  # exactly the rounded value


ENCODINGS: dict[str, Encoding] = {
    "float32": as_it_is,
    "float16": half,
    "int16": partial(integers, largest=2**15 - 1),
    "int8": partial(integers, largest=2**7 - 1),
}
