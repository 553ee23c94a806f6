"""x tanh(softplus(x)) (Misra 2019)."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c
from sparsectl.policy.activations.exponential import exp_of_negative, exp_of_negative_c


def mish(x: Float32) -> Float32:
    """With e = exp(-|x|), tanh(log(1 + exp(x))) is (1 + 2e) / (1 + 2e + 2e²) over 0 and e (2 + e) /
    (2 + 2e + e²) under it; error at most 4e-7 of the result and 4e-36."""
    e = exp_of_negative(np.where(x < 0, x, -x))
    above = np.float32(1) + (e + e)
    under = e * (np.float32(2) + e)
    gate = np.where(x < 0, under / (np.float32(2) + under), above / (above + (e + e) * e))
    return np.asarray(x * gate, np.float32)


def _exact(x: Float64) -> Float64:
    return np.asarray(x * np.tanh(np.logaddexp(x, 0.0)), np.float64)


MISH = Activation(
    "mish",
    forward=mish,
    exact=_exact,
    c_one="""\
/* x tanh(log(1 + exp(x))), the tanh as a quotient of powers of e = exp(-|x|). */
static float mish_of(float x)
{
    const float e = exp_of_negative(x < 0.0f ? x : -x);
    const float above = 1.0f + (e + e);
    const float under = e * (2.0f + e);
    return x * (x < 0.0f ? under / (2.0f + under) : above / (above + (e + e) * e));
}
""",
    c_all=each_c("mish"),
    c_helpers=(exp_of_negative_c,),
    slope=lambda: 1.1,
    absolute_error=4e-36,
    relative_error=4e-7,
)
