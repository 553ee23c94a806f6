"""Activations: one definition each, with its numpy form, its C form and its ONNX operator.

The numpy and the C form do the same float32 operations in the same order, so they agree bit for
bit wherever the C compiler may not contract a product and a sum into one rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

TANH_SATURATION = 8.7
"""|x| from which tanh is taken as its value here, which rounds to 1 in float32."""

# tanh(x) = x P(x²)/Q(x²), a minimax fit of the relative error over [0, 8.7] (Lawson's reweighting
# of the linearised problem, as in Sanathanan and Koerner), then a search over the last bits of the
# coefficients for the least error after rounding. P and Q start at exactly 1, so that small and
# denormal x come back unchanged. All coefficients are positive: no cancellation. The greatest
# error over all of float32 is 3.6e-7, from rounding; the fit itself is good to 2e-8.
TANH_NUMERATOR = tuple(
    float.fromhex(c)
    for c in ("0x1p+0", "0x1.127f74p-3", "0x1.cda058p-9", "0x1.610db6p-16", "0x1.dfba3ap-27")
)
TANH_DENOMINATOR = tuple(
    float.fromhex(c)
    for c in ("0x1p+0", "0x1.de950ep-2", "0x1.a99c4ap-6", "0x1.5d0b3cp-12", "0x1.aec686p-21")
)


@dataclass(frozen=True)
class Activation:
    """One activation function, elementwise."""

    name: str
    forward: Callable[[Float32], Float32]
    """float32, bit for bit what the C computes."""
    exact: Callable[[Float64], Float64]
    """float64, the mathematical function."""
    c_source: str
    """Hand-written C99: `static void NAME_all(float *x, unsigned n)`, in place; empty if none."""
    onnx_operator: str
    """The operator of ONNX's default domain; empty if none."""


def c_float(value: float | np.floating) -> str:
    """A float32 as a C99 hexadecimal literal: every bit survives, no digit is superfluous."""
    mantissa, exponent = float(np.float32(value)).hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}f"


def relu(x: Float32) -> Float32:
    """max(x, 0), but NaN stays NaN: a broken input must not look like a calm one."""
    return np.where(x < 0, np.float32(0), x)


def tanh(x: Float32) -> Float32:
    """tanh in float32 from sums, products and one quotient; error at most 3.6e-7, |tanh| <= 1."""
    limit, one = np.float32(TANH_SATURATION), np.float32(1)
    with np.errstate(under="ignore", invalid="ignore"):
        x = np.where(x > limit, limit, np.where(x < -limit, -limit, x))
        squared = x * x
        ratio = x * _horner(TANH_NUMERATOR, squared) / _horner(TANH_DENOMINATOR, squared)
    return np.where(ratio > one, one, np.where(ratio < -one, -one, ratio))


def _horner(coefficients: tuple[float, ...], x: Float32) -> Float32:
    value = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + np.float32(coefficient)
    return value


def _horner_c(name: str, coefficients: tuple[float, ...]) -> str:
    lines = [f"    float {name} = {c_float(coefficients[-1])};"]
    lines += [f"    {name} = {name} * squared + {c_float(c)};" for c in coefficients[-2::-1]]
    return "\n".join(lines)


RELU_C = """\
/* max(x, 0); NaN stays NaN, so that a broken input does not look like a calm one. */
static void relu_all(float *x, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        x[i] = x[i] < 0.0f ? 0.0f : x[i];
    }
}
"""

TANH_C = f"""\
/* tanh without libm: x P(x^2) / Q(x^2) within 3.6e-7, exactly 1 where it saturates. */
static float tanh_rational(float x)
{{
    const float limit = {c_float(TANH_SATURATION)};
    x = x > limit ? limit : (x < -limit ? -limit : x);
    const float squared = x * x;
{_horner_c("numerator", TANH_NUMERATOR)}
{_horner_c("denominator", TANH_DENOMINATOR)}
    const float ratio = x * numerator / denominator;
    return ratio > 1.0f ? 1.0f : (ratio < -1.0f ? -1.0f : ratio);
}}

static void tanh_all(float *x, unsigned n)
{{
    for (unsigned i = 0; i < n; i++) {{
        x[i] = tanh_rational(x[i]);
    }}
}}
"""

ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("identity", lambda x: x, lambda x: x, "", ""),
        Activation("relu", relu, lambda x: np.maximum(x, 0.0), RELU_C, "Relu"),
        Activation("tanh", tanh, np.tanh, TANH_C, "Tanh"),
    )
}
