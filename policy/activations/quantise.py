"""What QuantizeLinear does to an activation: a whole number of steps, within an integer's range."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c
from sparsectl.policy.activations.plain_functions import ROUND_HALF_EVEN, round_half_even


def quantise(x: Float32, scale: float, low: float, high: float) -> Float32:
    """clip(round(x / scale), low, high), halves to the even number. The division is rounded once,
    as ONNX has it."""
    steps = round_half_even(np.asarray(x / np.float32(scale), np.float32))
    raised = np.where(steps < np.float32(low), np.float32(low), steps)
    return np.where(raised > np.float32(high), np.float32(high), raised)


def _exact(x: Float64, scale: float, low: float, high: float) -> Float64:
    # A float32 quotient decides a tie, so the exact one is rounded to it first.
    with np.errstate(over="ignore"):
        quotient = (x / scale).astype(np.float32).astype(np.float64)
    return np.asarray(np.clip(np.rint(quotient), low, high), np.float64)


def _carried(x: Float64, error: Float64, scale: float, low: float, high: float) -> Float64:
    reach = error / abs(scale)
    steps = x / scale
    crosses = np.rint(np.clip(steps - reach, low, high)) != np.rint(
        np.clip(steps + reach, low, high)
    )
    return np.where(crosses, np.ceil(2 * reach) + 1, 0.0)


QUANTISE = Activation(
    "quantise",
    forward=quantise,
    exact=_exact,
    c_one="""\
static float quantise_of(float x, float scale, float low, float high)
{
    const float steps = round_half_even_of(x / scale);
    const float raised = steps < low ? low : steps;
    return raised > high ? high : raised;
}
""",
    c_all=each_c("quantise", "scale", "low", "high"),
    c_helpers=(ROUND_HALF_EVEN.c_one,),
    parameters=(("scale", 1.0), ("low", -128.0), ("high", 127.0)),
    carried=_carried,
)
