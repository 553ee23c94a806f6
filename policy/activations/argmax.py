"""The index of the greatest neuron: a discrete action."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64


def argmax(x: Float32) -> Float32:
    """Return the index as a number, [1] or [1, batch]; the first of equals; NaN if any neuron is
    NaN. Exact."""
    index = np.argmax(x, axis=0, keepdims=True).astype(np.float32)
    return np.where(np.isnan(x).any(axis=0, keepdims=True), np.float32(np.nan), index)


def _exact(x: Float64) -> Float64:
    return np.asarray(np.argmax(x, axis=0, keepdims=True), np.float64)


def _carried(x: Float64, error: Float64) -> Float64:
    """Return infinity where the greatest two are so close that rounding decides, 0 elsewhere."""
    if len(x) == 1:
        return np.zeros_like(error)
    second, first = np.partition(x, -2, axis=0)[-2:]
    close = first - second <= 2 * np.max(error, axis=0)
    return np.where(close, np.inf, 0.0)[None]


ARGMAX = Activation(
    "argmax",
    forward=argmax,
    exact=_exact,
    c_all="""\
/* The index of the greatest into x[0], the first of equals; NaN if there is one. */
static void argmax_all(float *x, unsigned n)
{
    unsigned best = 0;
    for (unsigned i = 1; i < n && x[best] >= x[best]; i++) {
        best = x[i] <= x[best] ? best : i;
    }
    x[0] = x[best] >= x[best] ? (float)best : x[best];
}
""",
    onnx_operator="ArgMax",
    carried=_carried,
    needs_whole_layer=True,
    gives_one=True,
)
