"""Exponential linear unit (Clevert, Unterthiner and Hochreiter 2016)."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c
from sparsectl.policy.activations.exponential import exp_of_negative, exp_of_negative_c


def elu(x: Float32, alpha: float) -> Float32:
    """x where x > 0, alpha (exp(x) - 1) elsewhere; error at most 6e-8 max(1, |alpha|)."""
    under = np.where(x > 0, np.float32(0), x)
    return np.where(x > 0, x, np.float32(alpha) * (exp_of_negative(under) - np.float32(1)))


def _exact(x: Float64, alpha: float) -> Float64:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


ELU = Activation(
    "elu",
    forward=elu,
    exact=_exact,
    c_one="""\
static float elu_of(float x, float alpha)
{
    return x > 0.0f ? x : alpha * (exp_of_negative(x) - 1.0f);
}
""",
    c_all=each_c("elu", "alpha"),
    c_helpers=(exp_of_negative_c,),
    parameters=(("alpha", 1.0),),
    onnx_operator="Elu",
    slope=lambda alpha: max(1.0, abs(alpha)),
    absolute_error=6e-8,
)
