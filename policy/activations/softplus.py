"""log(1 + exp(x))."""

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

# log(1 + e) = 2 artanh(z) = 2z + 2z³ P(z²) with z = e / (2 + e) <= 1/3: a minimax fit of the
# relative error, 5e-9 before rounding.
_P = coefficients("0x1.5555p-2", "0x1.99d27cp-3", "0x1.1eb612p-3", "0x1.1ef87p-3")


def softplus(x: Float32) -> Float32:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); error at most 2.5e-7 of the result and
    2e-38."""
    e = exp_of_negative(np.where(x < 0, x, -x))
    z = e / (np.float32(2) + e)
    twice, squared = z + z, z * z
    return np.where(x > 0, x, np.float32(0)) + (twice + twice * (squared * horner(_P, squared)))


def _exact(x: Float64) -> Float64:
    return np.asarray(np.logaddexp(x, 0.0), np.float64)


SOFTPLUS = Activation(
    "softplus",
    forward=softplus,
    exact=_exact,
    c_one=lambda literal: (
        f"""\
/* max(x, 0) + log(1 + e), e = exp(-|x|), log(1 + e) = 2 artanh(e / (2 + e)). */
static float softplus_of(float x)
{{
    const float e = exp_of_negative(x < 0.0f ? x : -x);
    const float z = e / (2.0f + e);
    const float twice = z + z, squared = z * z;
{horner_c("series", _P, "squared", literal)}
    return (x > 0.0f ? x : 0.0f) + (twice + twice * (squared * series));
}}
"""
    ),
    c_all=each_c("softplus"),
    c_helpers=(exp_of_negative_c,),
    onnx_operator="Softplus",
    absolute_error=2e-38,
    relative_error=2.5e-7,
)
