"""erf(x), as in gelu."""

from __future__ import annotations

import numpy as np
import scipy

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
from sparsectl.policy.activations.gelu import TAIL

# erf(x) = x P(x²) for |x| < 1/2: a minimax fit, 1.5e-9 before rounding. Beyond it 1 - 2 Phi of
# -sqrt(2) |x|, by gelu's fit.
_P = coefficients(
    "0x1.20dd74p+0", "-0x1.812732p-2", "0x1.ce2522p-4", "-0x1.b667d6p-6", "0x1.355342p-8"
)
(_QUARTER_ROOT_2,) = coefficients("0x1.6a09e6p-2")


def error_function(x: Float32) -> Float32:
    """erf(x); error at most 1.5e-7."""
    size = np.where(x < 0, -x, x)
    squared = size * size
    near = x * horner(_P, np.where(size < np.float32(0.5), squared, np.float32(0)))
    w = np.float32(1) / (np.float32(1) + np.float32(_QUARTER_ROOT_2) * size)
    far = np.float32(1) - (exp_of_negative(-squared) * (w * horner(TAIL, w))) * np.float32(2)
    return np.where(size < np.float32(0.5), near, np.where(x < 0, -far, far))


def _exact(x: Float64) -> Float64:
    return np.asarray(scipy.special.erf(x), np.float64)


ERROR_FUNCTION = Activation(
    "error_function",
    forward=error_function,
    exact=_exact,
    c_one=lambda literal: (
        f"""\
/* x P(x^2) near 0, further out 1 - 2 Phi(-sqrt(2) |x|), Phi as in gelu. */
static float error_function_of(float x)
{{
    const float size = x < 0.0f ? -x : x;
    const float squared = size * size;
    if (size < 0.5f) {{
{horner_c("series", _P, "squared", literal, indent=8)}
        return x * series;
    }}
    const float w = 1.0f / (1.0f + {literal(_QUARTER_ROOT_2)} * size);
{horner_c("series", TAIL, "w", literal)}
    const float far = 1.0f - (exp_of_negative(-squared) * (w * series)) * 2.0f;
    return x < 0.0f ? -far : far;
}}
"""
    ),
    c_all=each_c("error_function"),
    c_helpers=(exp_of_negative_c,),
    onnx_operator="Erf",
    slope=lambda: 1.13,
    absolute_error=2e-7,
)
