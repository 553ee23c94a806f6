"""1 / (1 + exp(-x))."""

from __future__ import annotations

import numpy as np
import scipy

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c
from sparsectl.policy.activations.exponential import exp_of_negative, exp_of_negative_c

SIGMOID_C = """\
static float sigmoid_of(float x)
{
    const float e = exp_of_negative(x < 0.0f ? x : -x);
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
"""


def sigmoid(x: Float32) -> Float32:
    """1 / (1 + exp(-x)) by the exponential of -|x|, which cannot overflow; error at most 9e-8."""
    e = exp_of_negative(np.where(x < 0, x, -x))
    return np.asarray(np.where(x < 0, e, np.float32(1)) / (np.float32(1) + e), np.float32)


def _exact(x: Float64) -> Float64:
    return np.asarray(scipy.special.expit(x), np.float64)


SIGMOID = Activation(
    "sigmoid",
    forward=sigmoid,
    exact=_exact,
    c_one=SIGMOID_C,
    c_all=each_c("sigmoid"),
    c_helpers=(exp_of_negative_c,),
    onnx_operator="Sigmoid",
    slope=lambda: 0.25,
    absolute_error=9e-8,
)
