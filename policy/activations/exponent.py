"""exp(x) for numbers of either sign."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c
from sparsectl.policy.activations.exponential import LOWEST, exp_of_negative, exp_of_negative_c


def exponential(x: Float32) -> Float32:
    """exp(x), by 1 / exp(-x) over 0; error at most 4e-7 of the result and 2e-38."""
    far = x > np.float32(-LOWEST)
    e = exp_of_negative(np.where(far, np.float32(-0.5) * x, np.where(x > 0, -x, x)))
    above = np.float32(1) / e
    return np.where(x > 0, np.where(far, above * above, above), e)


def _carried(x: Float64, error: Float64) -> Float64:
    return np.asarray(np.exp(x) * np.expm1(np.minimum(error, 700.0)), np.float64)


EXPONENTIAL = Activation(
    "exponential",
    forward=exponential,
    exact=np.exp,
    c_one=lambda literal: (
        f"""\
static float exponential_of(float x)
{{
    if (!(x > 0.0f)) {{
        return exp_of_negative(x);
    }}
    if (x > {literal(-LOWEST)}) {{
        const float half = 1.0f / exp_of_negative(-0.5f * x);
        return half * half;
    }}
    return 1.0f / exp_of_negative(-x);
}}
"""
    ),
    c_all=each_c("exponential"),
    c_helpers=(exp_of_negative_c,),
    onnx_operator="Exp",
    carried=_carried,
    absolute_error=2e-38,
    relative_error=4e-7,
)
