"""Scaled exponential linear unit (Klambauer, Unterthiner, Mayr and Hochreiter 2017)."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c
from sparsectl.policy.activations.elu import elu
from sparsectl.policy.activations.exponential import exp_of_negative_c


def selu(x: Float32, alpha: float, gamma: float) -> Float32:
    """gamma elu(x, alpha); error at most 9e-8 times the greatest parameter over 1, and 6e-8 of the
    result."""
    return np.float32(gamma) * elu(x, alpha)


def _exact(x: Float64, alpha: float, gamma: float) -> Float64:
    return gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


SELU = Activation(
    "selu",
    forward=selu,
    exact=_exact,
    c_one="""\
static float selu_of(float x, float alpha, float gamma)
{
    return gamma * (x > 0.0f ? x : alpha * (exp_of_negative(x) - 1.0f));
}
""",
    c_all=each_c("selu", "alpha", "gamma"),
    c_helpers=(exp_of_negative_c,),
    parameters=(("alpha", 1.6732632), ("gamma", 1.050701)),
    onnx_operator="Selu",
    slope=lambda alpha, gamma: abs(gamma) * max(1.0, abs(alpha)),
    absolute_error=9e-8,
    relative_error=6e-8,
)
