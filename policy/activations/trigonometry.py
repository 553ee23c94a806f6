"""sin and cos of any float32 without libm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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

# sin(r) = r + r³ P(r²), cos(r) = 1 - r²/2 + r⁴ Q(r²) for |r| <= pi/4: minimax fits of the absolute
# error, 1e-10 before rounding.
_P = coefficients("-0x1.555556p-3", "0x1.111108p-7", "-0x1.a00f9ep-13", "0x1.6cd87ap-19")
_Q = coefficients("0x1.55554ap-5", "-0x1.6c0c8cp-10", "0x1.9a025ap-16")
_QUARTER_PI, _STEP = coefficients("0x1.921fb6p-1", "0x1.921fb6p-30")  # the second: pi/2 / 2^30

_TWO_OVER_PI = (0x0, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041)
"""32 bits of 0, then those of 2 / pi after the point: enough for the largest float32."""


@calling("bits_of")
def _rotation_c(literal: FloatLiteral) -> str:
    return f"""\
/* x as `quadrant` times pi/2 and a rest of at most pi/4 (Payne and Hanek 1983): x is a whole number
 * m times 2^e, so of 2 / pi only 64 bits from 2^(1 - e) down count, and the product's upper bits
 * fall away, being multiples of 2 pi. */
static float rest_of_rotation(float x, unsigned *quadrant)
{{
    static const uint32_t two_over_pi[] = {{
        {", ".join(f"0x{word:08x}u" for word in _TWO_OVER_PI[:4])},
        {", ".join(f"0x{word:08x}u" for word in _TWO_OVER_PI[4:])},
    }};
    const float size = x < 0.0f ? -x : x;
    *quadrant = 0;
    if (!(size > {literal(_QUARTER_PI)})) {{
        return x;
    }}
    const uint32_t bits = bits_of(size);
    if (bits >= 0x7f800000u) {{
        return x - x;
    }}
    const unsigned place = (unsigned)(bits >> 23) - 120u;
    const unsigned shift = place % 32u;
    const uint32_t *const word = two_over_pi + place / 32u;
    uint64_t window = (uint64_t)word[0] << 32 | word[1];
    window = shift ? window << shift | word[2] >> (32u - shift) : window;
    window *= (bits & 0x7fffffu) | 0x800000u;
    const uint64_t turned = window + ((uint64_t)1 << 61);
    *quadrant = (unsigned)(turned >> 62);
    window -= turned >> 62 << 62;
    const int negative = (int)(window >> 63);
    const uint32_t upper = (uint32_t)((negative ? 0u - window : window) >> 32);
    const float rest = (float)upper * {literal(_STEP)};
    if ((x < 0.0f) && *quadrant) {{
        *quadrant = 4u - *quadrant;
    }}
    return (x < 0.0f) != negative ? -rest : rest;
}}

/* sin(rest + quadrant pi/2). */
static float sine_in(float rest, unsigned quadrant)
{{
    const float squared = rest * rest;
    float value;
    if (quadrant & 1u) {{
{horner_c("series", _Q, "squared", literal, indent=8)}
        value = 1.0f - (0.5f * squared - squared * squared * series);
    }} else {{
{horner_c("series", _P, "squared", literal, indent=8)}
        value = rest + rest * (squared * series);
    }}
    return quadrant & 2u ? -value : value;
}}
"""


def _rest(x: Float32) -> tuple[Float32, NDArray[np.uint32]]:
    size = np.abs(x)
    far = (size > np.float32(_QUARTER_PI)) & (size < np.float32(np.inf))
    bits = np.where(far, size, np.float32(1)).view(np.uint32)
    place = (bits >> np.uint32(23)) - np.uint32(120)
    shift = (place % np.uint32(32)).astype(np.uint64)
    words = np.array(_TWO_OVER_PI, np.uint64)
    first = place // np.uint32(32)
    high = words[first] << np.uint64(32) | words[first + 1]
    window = np.where(
        shift > 0, high << shift | words[np.minimum(first + 2, 6)] >> (np.uint64(32) - shift), high
    )
    window = window * ((bits & np.uint32(0x7FFFFF)) | np.uint32(0x800000)).astype(np.uint64)
    quadrant = (window + np.uint64(1 << 61)) >> np.uint64(62)
    window = window - (quadrant << np.uint64(62))
    negative = window >> np.uint64(63) != 0
    upper = np.where(negative, np.uint64(0) - window, window) >> np.uint64(32)
    rest = upper.astype(np.uint32).astype(np.float32) * np.float32(_STEP)
    quadrant = np.where(x < 0, (np.uint64(4) - quadrant) & np.uint64(3), quadrant)
    rest = np.where((x < 0) != negative, -rest, rest)
    near = np.where(size > np.float32(_QUARTER_PI), x - x, x)
    return np.where(far, rest, near), np.where(far, quadrant, 0).astype(np.uint32)


def _sine_in(rest: Float32, quadrant: NDArray[np.uint32]) -> Float32:
    squared = rest * rest
    even = rest + rest * (squared * horner(_P, squared))
    odd = np.float32(1) - (np.float32(0.5) * squared - squared * squared * horner(_Q, squared))
    value = np.where(quadrant & np.uint32(1), odd, even)
    return np.where(quadrant & np.uint32(2), -value, value)


def sine(x: Float32) -> Float32:
    """sin(x); error at most 1.5e-7; NaN for what is not finite."""
    return _sine_in(*_rest(x))


def cosine(x: Float32) -> Float32:
    """cos(x); error at most 1.5e-7; NaN for what is not finite."""
    rest, quadrant = _rest(x)
    return _sine_in(rest, quadrant + np.uint32(1))


def _sine_exact(x: Float64) -> Float64:
    return np.asarray(np.sin(x), np.float64)


def _cosine_exact(x: Float64) -> Float64:
    return np.asarray(np.cos(x), np.float64)


SINE = Activation(
    "sine",
    forward=sine,
    exact=_sine_exact,
    c_one="""\
static float sine_of(float x)
{
    unsigned quadrant;
    const float rest = rest_of_rotation(x, &quadrant);
    return sine_in(rest, quadrant);
}
""",
    c_all=each_c("sine"),
    c_helpers=(_rotation_c,),
    onnx_operator="Sin",
    absolute_error=1.5e-7,
)

COSINE = Activation(
    "cosine",
    forward=cosine,
    exact=_cosine_exact,
    c_one="""\
static float cosine_of(float x)
{
    unsigned quadrant;
    const float rest = rest_of_rotation(x, &quadrant);
    return sine_in(rest, quadrant + 1u);
}
""",
    c_all=each_c("cosine"),
    c_helpers=(_rotation_c,),
    onnx_operator="Cos",
    absolute_error=1.5e-7,
)
