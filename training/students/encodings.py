"""What an encoding of the export does to the weights, so that fine-tuning can see it coming.

The forward pass has the rounded weights; the gradient passes as if nothing had happened: the
straight-through estimator (Bengio, Léonard, Courville 2013).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Encoding = Callable[[Tensor], Tensor]
"""A layer's weights [out, in] → the nearest that the encoding can hold."""


def as_it_is(weight: Tensor) -> Tensor:
    """float32 holds what training made."""
    return weight


def half(weight: Tensor) -> Tensor:
    """float16: eleven bits of significand."""
    return _straight_through(weight, weight.detach().half().float())


def integers(weight: Tensor, largest: int) -> Tensor:
    """Whole multiples, ±largest at most, of one step a row: its greatest weight is `largest`."""
    rows = weight.detach()
    step = (rows.abs().amax(dim=-1, keepdim=True) / largest).clamp_min(1e-30)
    return _straight_through(weight, torch.round(rows / step) * step)


def _straight_through(weight: Tensor, rounded: Tensor) -> Tensor:
    return weight - weight.detach() + rounded  # exactly what is rounded, as the first two are 0


ENCODINGS: dict[str, Encoding] = {
    "float32": as_it_is,
    "float16": half,
    "int16": partial(integers, largest=2**15 - 1),
    "int8": partial(integers, largest=2**7 - 1),
}
