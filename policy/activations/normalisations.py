"""Normalisation of a layer by its own mean and deviation (Ba, Kiros and Hinton 2016), or by its
root mean square (Zhang and Sennrich 2019); gain and bias belong to the next layer's weights."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64
from sparsectl.policy.activations.square_root import square_root, square_root_c

_ROUNDING = 2.0**-22


def _mean(x: Float32) -> Float32:
    total = np.zeros_like(x[0])
    for row in x:
        total = total + row
    return np.asarray(total / np.float32(len(x)), np.float32)


def rms_norm(x: Float32, epsilon: float) -> Float32:
    """x over the root of its mean square and epsilon; sums in ascending order."""
    return np.asarray(x / square_root(_mean(x * x) + np.float32(epsilon)), np.float32)


def layer_norm(x: Float32, epsilon: float) -> Float32:
    """x less its mean, over the root of its variance and epsilon; sums in ascending order."""
    return rms_norm(x - _mean(x), epsilon)


def _rms_exact(x: Float64, epsilon: float) -> Float64:
    return np.asarray(x / np.sqrt(np.mean(x * x, axis=0) + epsilon), np.float64)


def _layer_exact(x: Float64, epsilon: float) -> Float64:
    return _rms_exact(x - np.mean(x, axis=0), epsilon)


def _rms_carried(x: Float64, error: Float64, epsilon: float) -> Float64:
    deviation = np.sqrt(np.mean(x * x, axis=0) + epsilon)
    result = np.abs(x) / deviation
    moved = np.sqrt(np.mean(error * error, axis=0)) / deviation
    return np.asarray(error / deviation + result * (moved + _ROUNDING), np.float64)


def _layer_carried(x: Float64, error: Float64, epsilon: float) -> Float64:
    own = _ROUNDING * np.max(np.abs(x), axis=0)
    centred = error + np.mean(error, axis=0) + own
    return _rms_carried(x - np.mean(x, axis=0), centred, epsilon)


_RMS_NORM_C = """\
static void rms_norm_all(float *x, unsigned n, float epsilon)
{
    float total = 0.0f;
    for (unsigned i = 0; i < n; i++) {
        total += x[i] * x[i];
    }
    const float size = square_root_of(total / (float)n + epsilon);
    for (unsigned i = 0; i < n; i++) {
        x[i] /= size;
    }
}
"""

RMS_NORM = Activation(
    "rms_norm",
    forward=rms_norm,
    exact=_rms_exact,
    c_all=_RMS_NORM_C,
    c_helpers=(square_root_c,),
    parameters=(("epsilon", 1e-5),),
    carried=_rms_carried,
    needs_whole_layer=True,
)

LAYER_NORM = Activation(
    "layer_norm",
    forward=layer_norm,
    exact=_layer_exact,
    c_all="""\
static void layer_norm_all(float *x, unsigned n, float epsilon)
{
    float total = 0.0f;
    for (unsigned i = 0; i < n; i++) {
        total += x[i];
    }
    const float mean = total / (float)n;
    for (unsigned i = 0; i < n; i++) {
        x[i] -= mean;
    }
    rms_norm_all(x, n, epsilon);
}
""",
    c_helpers=(square_root_c, _RMS_NORM_C),
    parameters=(("epsilon", 1e-5),),
    carried=_layer_carried,
    needs_whole_layer=True,
)
