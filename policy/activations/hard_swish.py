"""x clip(x / 6 + 1/2, 0, 1) (Howard et al. 2019)."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c

_SIXTH = 1 / 6


def hard_swish(x: Float32) -> Float32:
    """The gate is rounded twice, so the error is at most 3e-7 of |x|."""
    gate = x * np.float32(_SIXTH) + np.float32(0.5)
    gate = np.where(gate < 0, np.float32(0), gate)
    return x * np.where(gate > 1, np.float32(1), gate)


def _exact(x: Float64) -> Float64:
    return np.asarray(x * np.clip(x / 6 + 0.5, 0, 1), np.float64)


HARD_SWISH = Activation(
    "hard_swish",
    forward=hard_swish,
    exact=_exact,
    c_one=lambda literal: (
        f"""\
static float hard_swish_of(float x)
{{
    const float gate = x * {literal(_SIXTH)} + 0.5f;
    const float raised = gate < 0.0f ? 0.0f : gate;
    return x * (raised > 1.0f ? 1.0f : raised);
}}
"""
    ),
    c_all=each_c("hard_swish"),
    slope=lambda: 1.5,
    absolute_error=3e-7,
    relative_error=3e-7,
)
