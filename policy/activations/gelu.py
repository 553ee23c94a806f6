"""Gaussian error linear units, x Phi(x) and its tanh form (Hendrycks and Gimpel 2016)."""

from __future__ import annotations

import numpy as np
import scipy

from sparsectl.policy.activations.activation import (
    Activation,
    Float32,
    Float64,
    coefficients,
    each_c,
    horner,
    horner_c,
)
from sparsectl.policy.activations.exponential import exp_of_negative, exp_of_negative_c
from sparsectl.policy.activations.sigmoid import SIGMOID_C, sigmoid

# Phi(-t) = exp(-t²/2) w P(w) with w = 1 / (1 + t/4), the form of Abramowitz and Stegun 7.1.26: a
# minimax fit of the absolute error of 2 Phi over [0, 6], 4e-9 before rounding.
TAIL = coefficients(
    "0x1.9be52p-4",
    "0x1.977758p-4",
    "0x1.02f2ecp-4",
    "0x1.c1e358p-3",
    "-0x1.b20ec6p-3",
    "0x1.4308d2p-2",
    "-0x1.621bd2p-4",
)

# tanh's form is x sigmoid(x (INNER + OUTER x²)): 2 sqrt(2/pi), and that times 0.044715.
INNER, OUTER = coefficients("0x1.988454p0", "0x1.2444f2p-4")


def gelu(x: Float32) -> Float32:
    """x Phi(x); error at most 1.5e-7 of the result and 5e-8."""
    size = np.where(x < 0, -x, x)
    near = np.float32(1) / (np.float32(1) + np.float32(0.25) * size)
    tail = exp_of_negative(np.float32(-0.5) * size * size) * (near * horner(TAIL, near))
    under = x * tail
    return np.where(x < 0, under, x - under)


def _gelu_exact(x: Float64) -> Float64:
    return np.asarray(x * scipy.special.ndtr(x), np.float64)


def gelu_tanh(x: Float32) -> Float32:
    """x (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))) / 2; error at most 2e-7 of the result and 2e-8."""
    return x * sigmoid(x * (np.float32(INNER) + np.float32(OUTER) * (x * x)))


def _gelu_tanh_exact(x: Float64) -> Float64:
    steep = 2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    return np.asarray(x * scipy.special.expit(steep), np.float64)


GELU = Activation(
    "gelu",
    forward=gelu,
    exact=_gelu_exact,
    c_one=lambda literal: (
        f"""\
/* x Phi(x), from Phi(-t) = exp(-t^2 / 2) w P(w) with w = 1 / (1 + t / 4). */
static float gelu_of(float x)
{{
    const float size = x < 0.0f ? -x : x;
    const float near = 1.0f / (1.0f + 0.25f * size);
{horner_c("series", TAIL, "near", literal)}
    const float tail = exp_of_negative(-0.5f * size * size) * (near * series);
    const float under = x * tail;
    return x < 0.0f ? under : x - under;
}}
"""
    ),
    c_all=each_c("gelu"),
    c_helpers=(exp_of_negative_c,),
    onnx_operator="Gelu",
    slope=lambda: 1.13,
    absolute_error=5e-8,
    relative_error=1.5e-7,
)

GELU_TANH = Activation(
    "gelu_tanh",
    forward=gelu_tanh,
    exact=_gelu_tanh_exact,
    c_one=lambda literal: (
        f"""\
static float gelu_tanh_of(float x)
{{
    return x * sigmoid_of(x * ({literal(INNER)} + {literal(OUTER)} * (x * x)));
}}
"""
    ),
    c_all=each_c("gelu_tanh"),
    c_helpers=(exp_of_negative_c, SIGMOID_C),
    slope=lambda: 1.13,
    absolute_error=2e-8,
    relative_error=2e-7,
)
