"""The square root without libm."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import (
    Activation,
    Float32,
    Float64,
    FloatLiteral,
    calling,
    each_c,
)

_SMALLEST_NORMAL = 2.0**-126
_GUESS = 0x1FBB4F2E  # half the exponent's bias: the first guess is within 4 %


@calling("bits_of", "float_of")
def square_root_c(literal: FloatLiteral) -> str:
    return f"""\
/* Heron's steps from a guess made of half the exponent; NaN under 0. */
static float square_root_of(float x)
{{
    const float inside = x < {literal(_SMALLEST_NORMAL)} ? x * {literal(2.0**24)} : x;
    const uint32_t bits = bits_of(inside);
    if (!(x > 0.0f) || bits >= 0x7f800000u) {{
        return float_of(x < 0.0f ? 0x7fc00000u : bits);
    }}
    float root = float_of((bits >> 1) + 0x{_GUESS:x}u);
    root = 0.5f * (root + inside / root);
    root = 0.5f * (root + inside / root);
    root = 0.5f * (root + inside / root);
    return x < {literal(_SMALLEST_NORMAL)} ? root * {literal(2.0**-12)} : root;
}}
"""


def square_root(x: Float32) -> Float32:
    """sqrt(x) by three of Heron's steps; error at most 1.2e-7 of the result; NaN under 0."""
    small = x < np.float32(_SMALLEST_NORMAL)
    scaled = np.where(small, x * np.float32(2.0**24), x)
    usual = (x > 0) & (scaled < np.float32(np.inf))
    inside = np.where(usual, scaled, np.float32(1))
    root = ((inside.view(np.uint32) >> np.uint32(1)) + np.uint32(_GUESS)).view(np.float32)
    for _ in range(3):
        root = np.asarray(np.float32(0.5) * (root + inside / root), np.float32)
    root = np.where(small, root * np.float32(2.0**-12), root)
    return np.where(usual, root, np.where(x < 0, np.float32(np.nan), scaled))


def _exact(x: Float64) -> Float64:
    return np.asarray(np.sqrt(x), np.float64)


def _carried(x: Float64, error: Float64) -> Float64:
    size = np.abs(x)
    return np.asarray(np.sqrt(size + error) - np.sqrt(np.maximum(size - error, 0.0)), np.float64)


SQUARE_ROOT = Activation(
    "square_root",
    forward=square_root,
    exact=_exact,
    c_one=square_root_c,
    c_all=each_c("square_root"),
    onnx_operator="Sqrt",
    carried=_carried,
    relative_error=1.2e-7,
)
