"""max(x, 0)."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c


def relu(x: Float32) -> Float32:
    """max(x, 0), but NaN stays NaN, so that a broken input is not taken for a small one. Exact."""
    return np.where(x < 0, np.float32(0), x)


def _carried(x: Float64, error: Float64) -> Float64:
    return np.where(x + error > 0, error, 0.0)


RELU = Activation(
    "relu",
    forward=relu,
    exact=lambda x: np.maximum(x, 0.0),
    c_one="""\
/* max(x, 0); NaN stays NaN, so that a broken input does not look like a calm one. */
static float relu_of(float x)
{
    return x < 0.0f ? 0.0f : x;
}
""",
    c_all=each_c("relu"),
    onnx_operator="Relu",
    carried=_carried,
)
