"""log(x) without libm."""

from __future__ import annotations

import math

import numpy as np

from sparsectl.policy.activations.activation import (
    Activation,
    Float32,
    Float64,
    FloatLiteral,
    calling,
    coefficients,
    each_c,
    horner,
    horner_c,
)

_LN2_HIGH, _LN2_LOW = coefficients("0x1.62e4p-1", "0x1.7f7d1cp-20")  # 150 * high is exact
_SMALLEST_NORMAL = 2.0**-126
_ROOT_HALF_BITS = 0x3F3504F3  # sqrt(1/2): mantissas from there to its double

# log((1 + z) / (1 - z)) = 2z + 2z³ P(z²), |z| <= 0.172: softplus's fit, which serves to 1/3.
_P = coefficients("0x1.5555p-2", "0x1.99d27cp-3", "0x1.1eb612p-3", "0x1.1ef87p-3")


def logarithm(x: Float32) -> Float32:
    """log(x); error at most 2.5e-7 of the result; -inf at 0, NaN under it."""
    small = x < np.float32(_SMALLEST_NORMAL)
    scaled = np.where(small, x * np.float32(2.0**24), x)
    inside = np.where((scaled > 0) & (scaled < np.float32(np.inf)), scaled, np.float32(1))
    bits = inside.view(np.uint32) - np.uint32(_ROOT_HALF_BITS)
    power = (bits >> np.uint32(23)).astype(np.int32)
    power = np.where(power > 255, power - 512, power)
    mantissa = (
        ((bits & np.uint32(0x7FFFFF)) + np.uint32(_ROOT_HALF_BITS))
        .astype(np.uint32)
        .view(np.float32)
    )
    whole = np.where(small, power - 24, power).astype(np.float32)
    f = mantissa - np.float32(1)
    z = f / (np.float32(2) + f)
    twice, squared = z + z, z * z
    low = twice + (twice * (squared * horner(_P, squared)) + whole * np.float32(_LN2_LOW))
    value = whole * np.float32(_LN2_HIGH) + low
    otherwise = np.where(x < 0, np.float32(np.nan), np.where(x > 0, x, x - np.float32(np.inf)))
    return np.where((x > 0) & (x < np.float32(np.inf)), value, otherwise)


def _exact(x: Float64) -> Float64:
    return np.asarray(np.log(x), np.float64)


def _carried(x: Float64, error: Float64) -> Float64:
    return np.where(error > 0, error / np.maximum(np.abs(x) - error, math.ulp(0.0)), 0.0)


@calling("bits_of", "float_of")
def logarithm_c(literal: FloatLiteral) -> str:
    return f"""\
/* log(x) = power ln(2) + log(m), m from sqrt(1/2) to its double, log(m) = 2 artanh(f / (2 + f)) of
 * f = m - 1; -inf at 0, NaN under it. */
static float logarithm_of(float x)
{{
    const uint32_t root_half = 0x{_ROOT_HALF_BITS:x}u;
    const uint32_t bits = bits_of(x < {literal(_SMALLEST_NORMAL)} ? x * {literal(2.0**24)} : x);
    if (!(x > 0.0f) || bits >= 0x7f800000u) {{
        const uint32_t special = x < 0.0f ? 0x7fc00000u : 0xff800000u;
        return float_of(x != x || x > 0.0f ? bits : special);
    }}
    const uint32_t above = bits - root_half;
    int32_t power = (int32_t)(above >> 23);
    power -= power > 255 ? 512 : 0;
    const float whole = (float)(x < {literal(_SMALLEST_NORMAL)} ? power - 24 : power);
    const float f = float_of((above & 0x7fffffu) + root_half) - 1.0f;
    const float z = f / (2.0f + f);
    const float twice = z + z, squared = z * z;
{horner_c("series", _P, "squared", literal)}
    const float low = twice + (twice * (squared * series) + whole * {literal(_LN2_LOW)});
    return whole * {literal(_LN2_HIGH)} + low;
}}
"""


LOGARITHM = Activation(
    "logarithm",
    forward=logarithm,
    exact=_exact,
    c_one=logarithm_c,
    c_all=each_c("logarithm"),
    onnx_operator="Log",
    carried=_carried,
    absolute_error=1e-44,
    relative_error=2.5e-7,
)
