"""The greatest neuron's value."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64


def greatest(x: Float32) -> Float32:
    """[1] or [1, batch]; the first of equals, as -0 and 0 are; NaN if any neuron is. Exact."""
    return np.take_along_axis(x, np.argmax(x, axis=0, keepdims=True), axis=0)


def _exact(x: Float64) -> Float64:
    return np.asarray(np.max(x, axis=0, keepdims=True), np.float64)


def _carried(x: Float64, error: Float64) -> Float64:
    return np.asarray(np.max(error, axis=0, keepdims=True), np.float64)


GREATEST = Activation(
    "greatest",
    forward=greatest,
    exact=_exact,
    c_all="""\
static void greatest_all(float *x, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        x[0] = x[0] >= x[i] || x[0] != x[0] ? x[0] : x[i];
    }
}
""",
    carried=_carried,
    needs_whole_layer=True,
    gives_one=True,
    onnx_operator="ReduceMax",
)
