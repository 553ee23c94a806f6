"""Functions of one number with one or two operations, as graphs of ONNX combine them."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import (
    Activation,
    Float32,
    Float64,
    FloatLiteral,
    each_c,
)

_WHOLE = 2.0**23
"""Least magnitude from which every float32 is a whole number."""


def absolute(x: Float32) -> Float32:
    """|x|. Exact."""
    return np.where(x < 0, -x, x)


def square(x: Float32) -> Float32:
    """x x, rounded once."""
    return x * x


def reciprocal(x: Float32) -> Float32:
    """1 / x, rounded once."""
    return np.asarray(np.float32(1) / x, np.float32)


def step(x: Float32) -> Float32:
    """1 where x > 0, else 0; NaN stays NaN. Exact."""
    return np.where(x > 0, np.float32(1), np.where(x <= 0, np.float32(0), x))


def round_half_even(x: Float32) -> Float32:
    """Round to the nearest whole number, halves to the even one. Exact."""
    size = np.where(x < 0, -x, x)
    rounded = (size + np.float32(_WHOLE)) - np.float32(_WHOLE)
    return np.where(size < np.float32(_WHOLE), np.where(x < 0, -rounded, rounded), x)


def round_down(x: Float32) -> Float32:
    """Return the greatest whole number that does not exceed x. Exact."""
    rounded = round_half_even(x)
    return np.where(rounded > x, rounded - np.float32(1), rounded)


def _jumps(x: Float64, error: Float64) -> Float64:
    """Bound the error of a function with jumps at whole numbers: 1 plus the error near a jump."""
    near = np.abs(x - np.rint(x)) <= error
    return np.where(near, 1 + error, 0.0)


ABSOLUTE = Activation(
    "absolute",
    forward=absolute,
    exact=np.abs,
    c_one="""\
static float absolute_of(float x)
{
    return x < 0.0f ? -x : x;
}
""",
    c_all=each_c("absolute"),
    onnx_operator="Abs",
)

SQUARE = Activation(
    "square",
    forward=square,
    exact=np.square,
    c_one="""\
static float square_of(float x)
{
    return x * x;
}
""",
    c_all=each_c("square"),
    carried=lambda x, error: error * (2 * np.abs(x) + error),
    relative_error=6e-8,
)


def _reciprocal_exact(x: Float64) -> Float64:
    return np.asarray(1 / x, np.float64)


RECIPROCAL = Activation(
    "reciprocal",
    forward=reciprocal,
    exact=_reciprocal_exact,
    c_one="""\
static float reciprocal_of(float x)
{
    return 1.0f / x;
}
""",
    c_all=each_c("reciprocal"),
    onnx_operator="Reciprocal",
    carried=lambda x, error: np.where(
        np.abs(x) > error, error / (np.abs(x) * np.maximum(np.abs(x) - error, 1e-300)), np.inf
    ),
    relative_error=6e-8,
)

STEP = Activation(
    "step",
    forward=step,
    exact=lambda x: np.where(x > 0, 1.0, np.where(x <= 0, 0.0, x)),
    c_one="""\
/* 1 over 0, else 0; NaN stays NaN, so that a broken input does not look like a calm one. */
static float step_of(float x)
{
    return x > 0.0f ? 1.0f : (x <= 0.0f ? 0.0f : x);
}
""",
    c_all=each_c("step"),
    carried=lambda x, error: np.where((np.abs(x) <= error) & (error > 0), np.inf, 0.0),
)


def _round_c(literal: FloatLiteral) -> str:
    return f"""\
/* The nearest whole number, of two the even one: over 2^23 a float has no fraction. */
static float round_half_even_of(float x)
{{
    const float size = x < 0.0f ? -x : x;
    if (!(size < {literal(2.0**23)})) {{
        return x;
    }}
    const float rounded = (size + {literal(2.0**23)}) - {literal(2.0**23)};
    return x < 0.0f ? -rounded : rounded;
}}
"""


ROUND_HALF_EVEN = Activation(
    "round_half_even",
    forward=round_half_even,
    exact=np.rint,
    c_one=_round_c,
    c_all=each_c("round_half_even"),
    onnx_operator="Round",
    carried=lambda x, error: _jumps(x + 0.5, error),
)

ROUND_DOWN = Activation(
    "round_down",
    forward=round_down,
    exact=np.floor,
    c_one="""\
static float round_down_of(float x)
{
    const float rounded = round_half_even_of(x);
    return rounded > x ? rounded - 1.0f : rounded;
}
""",
    c_all=each_c("round_down"),
    c_helpers=(_round_c,),
    onnx_operator="Floor",
    carried=_jumps,
)
