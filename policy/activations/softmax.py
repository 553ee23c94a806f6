"""exp(x) over the sum of all neurons' exp(x): probabilities of discrete actions."""

from __future__ import annotations

import numpy as np
import scipy

from sparsectl.policy.activations.activation import Activation, Float32, Float64
from sparsectl.policy.activations.exponential import exp_of_negative, exp_of_negative_c


def softmax(x: Float32) -> Float32:
    """Normalise exponentials along axis 0; they are summed in ascending order, with one rounding
    per neuron."""
    powers = exp_of_negative(x - np.max(x, axis=0))
    total = np.zeros_like(powers[0])
    for row in powers:
        total = total + row
    return np.asarray(powers / total, np.float32)


def _exact(x: Float64) -> Float64:
    return np.asarray(scipy.special.softmax(x, axis=0), np.float64)


def _carried(x: Float64, error: Float64) -> Float64:
    """A result's slopes along all the neurons add up to 2 p (1 - p), at most 1/2; and the sum of n
    powers is off by n roundings at most."""
    of_the_sum = len(x) * 2.0**-24 * _exact(x)
    return np.asarray(0.5 * np.max(error, axis=0) + of_the_sum, np.float64)


SOFTMAX = Activation(
    "softmax",
    forward=softmax,
    exact=_exact,
    c_all="""\
/* exp(x) over the sum of them all; the greatest is taken off first, so that nothing overflows. */
static void softmax_all(float *x, unsigned n)
{
    float greatest = x[0];
    for (unsigned i = 1; i < n; i++) {
        greatest = x[i] > greatest ? x[i] : greatest;
    }
    float total = 0.0f;
    for (unsigned i = 0; i < n; i++) {
        x[i] = exp_of_negative(x[i] - greatest);
        total += x[i];
    }
    for (unsigned i = 0; i < n; i++) {
        x[i] /= total;
    }
}
""",
    c_helpers=(exp_of_negative_c,),
    onnx_operator="Softmax",
    absolute_error=2.4e-7,  # of two powers and a division
    carried=_carried,
    needs_whole_layer=True,
)
