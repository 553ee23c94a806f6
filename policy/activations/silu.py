"""x sigmoid(x), also called Swish (Elfwing, Uchibe and Doya 2018)."""

from __future__ import annotations

import numpy as np
import scipy

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c
from sparsectl.policy.activations.exponential import exp_of_negative_c
from sparsectl.policy.activations.sigmoid import SIGMOID_C, sigmoid


def silu(x: Float32) -> Float32:
    """x sigmoid(x); error at most 2.5e-7 of the result and 2e-36."""
    return x * sigmoid(x)


def _exact(x: Float64) -> Float64:
    return np.asarray(x * scipy.special.expit(x), np.float64)


SILU = Activation(
    "silu",
    forward=silu,
    exact=_exact,
    c_one="""\
static float silu_of(float x)
{
    return x * sigmoid_of(x);
}
""",
    c_all=each_c("silu"),
    c_helpers=(exp_of_negative_c, SIGMOID_C),
    slope=lambda: 1.1,
    absolute_error=2e-36,
    relative_error=2.5e-7,
)
