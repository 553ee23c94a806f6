"""tanh without libm."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import (
    Activation,
    Float32,
    Float64,
    coefficients,
    each_c,
    horner,
    horner_c,
)
from sparsectl.policy.activations.exponential import exp_of_negative, exp_of_negative_c

# tanh(x) = x (1 + x² P(x²)) for |x| < 1/2: a minimax fit, 2e-8 before rounding. Beyond it
# 1 - 2 exp(-2|x|) / (1 + exp(-2|x|)) damps the exponential's error.
_P = coefficients("-0x1.5554dap-2", "0x1.10ea8ep-3", "-0x1.b29c1ap-5", "0x1.1abd14p-6")


def tanh(x: Float32) -> Float32:
    """tanh in float32; error at most 9e-8, |tanh| <= 1; small and denormal x come back as they
    are."""
    size = np.where(x < 0, -x, x)
    squared = np.where(size < np.float32(0.5), x * x, np.float32(0))
    near = x * (np.float32(1) + squared * horner(_P, squared))
    e = exp_of_negative(np.float32(-2) * size)
    far = np.float32(1) - (e + e) / (np.float32(1) + e)
    return np.where(size < np.float32(0.5), near, np.where(x < 0, -far, far))


def _carried(x: Float64, error: Float64) -> Float64:
    nearest_zero = np.maximum(np.abs(x) - error, 0.0)
    return np.asarray(error * (1 - np.tanh(nearest_zero) ** 2), np.float64)


TANH = Activation(
    "tanh",
    forward=tanh,
    exact=np.tanh,
    c_one=lambda literal: (
        f"""\
/* x (1 + x^2 P(x^2)) near 0, 1 - 2 / (1 + exp(2|x|)) further out; within 9e-8, at most 1. */
static float tanh_of(float x)
{{
    const float size = x < 0.0f ? -x : x;
    if (size < 0.5f) {{
        const float squared = x * x;
{horner_c("series", _P, "squared", literal, indent=8)}
        return x * (1.0f + squared * series);
    }}
    const float e = exp_of_negative(-2.0f * size);
    const float far = 1.0f - (e + e) / (1.0f + e);
    return x < 0.0f ? -far : far;
}}
"""
    ),
    c_all=each_c("tanh"),
    c_helpers=(exp_of_negative_c,),
    onnx_operator="Tanh",
    absolute_error=9e-8,
    carried=_carried,
)
