"""x, or alpha x where that is negative."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c


def leaky_relu(x: Float32, alpha: float) -> Float32:
    """x where x >= 0, alpha x elsewhere; rounded once, so the relative error is at most 6e-8."""
    return np.where(x < 0, x * np.float32(alpha), x)


def _exact(x: Float64, alpha: float) -> Float64:
    return np.where(x < 0, x * alpha, x)


LEAKY_RELU = Activation(
    "leaky_relu",
    forward=leaky_relu,
    exact=_exact,
    c_one="""\
static float leaky_relu_of(float x, float alpha)
{
    return x < 0.0f ? x * alpha : x;
}
""",
    c_all=each_c("leaky_relu", "alpha"),
    parameters=(("alpha", 0.01),),
    onnx_operator="LeakyRelu",
    slope=lambda alpha: max(1.0, abs(alpha)),
    relative_error=6e-8,
)
