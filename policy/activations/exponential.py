"""exp of numbers up to 0, from which sigmoid, tanh, softplus, elu, gelu and softmax are
computed."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import (
    Float32,
    FloatLiteral,
    calling,
    coefficients,
    horner,
    horner_c,
)

LOWEST = -87.0
"""Below this the result is 0, shortly before it would be subnormal."""
(_LOG2_E,) = coefficients("0x1.715476p0")
_LN2_HIGH, _LN2_LOW = coefficients("0x1.62e4p-1", "0x1.7f7d1cp-20")  # 126 * high is exact
_ROUNDER = 12582912.0  # 1.5 * 2^23: adding it leaves a whole number in the low bits

# exp(r) = 1 + r + r² Q(r) for |r| <= ln(2)/2: a minimax fit of the relative error (Lawson's
# reweighting), 3e-9 before rounding.
_Q = coefficients(
    "0x1.fffffcp-2", "0x1.55549p-3", "0x1.5558f4p-5", "0x1.123a6cp-7", "0x1.6a2352p-10"
)


def exp_of_negative(x: Float32) -> Float32:
    """exp(x) for x <= 0 with a relative error of at most 9e-8; 0 under -87; NaN stays NaN."""
    inside = np.where(x >= np.float32(LOWEST), x, np.float32(0))
    rounded = inside * np.float32(_LOG2_E) + np.float32(_ROUNDER)
    power = rounded - np.float32(_ROUNDER)
    rest = inside - power * np.float32(_LN2_HIGH)
    rest = rest - power * np.float32(_LN2_LOW)
    value = rest * rest * horner(_Q, rest) + rest
    value = value + np.float32(1)
    value = (value.view(np.uint32) + (rounded.view(np.uint32) << np.uint32(23))).view(np.float32)
    return np.where(x >= np.float32(LOWEST), value, np.where(x < 0, np.float32(0), x))


@calling("bits_of", "float_of")
def exp_of_negative_c(literal: FloatLiteral) -> str:
    return f"""\
/* exp(x) for x <= 0 within 9e-8 of itself; 0 under {LOWEST:g}; NaN stays NaN. With x = power ln(2)
 * + rest the polynomial gives exp(rest), and power goes into the exponent's bits: the low bits of
 * `rounded` are power. */
static float exp_of_negative(float x)
{{
    if (!(x >= {literal(LOWEST)})) {{
        return x < 0.0f ? 0.0f : x;
    }}
    const float rounded = x * {literal(_LOG2_E)} + {literal(_ROUNDER)};
    const float power = rounded - {literal(_ROUNDER)};
    const float near = x - power * {literal(_LN2_HIGH)};
    const float rest = near - power * {literal(_LN2_LOW)};
{horner_c("series", _Q, "rest", literal)}
    const float nearly = rest * rest * series + rest;
    const float whole = nearly + 1.0f;
    return float_of(bits_of(whole) + (bits_of(rounded) << 23));
}}
"""
