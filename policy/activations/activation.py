"""The definition of an activation, and helpers of its numpy and C forms.

Both forms do the same float32 operations in the same order, so they agree bit for bit unless the C
compiler contracts a product and a sum into one rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FloatLiteral = Callable[[float | np.floating], str]
"""Formats a float32 as a literal of C: `c_float` or `c_decimal`."""


@dataclass(frozen=True)
class CFunction:
    """A function in C that calls bits_of or float_of (`policy.activations.bits`)."""

    write: Callable[[FloatLiteral], str]
    """Returns the C, given the format of its numbers."""
    bits: frozenset[str]
    """Names of those that it calls."""

    def __call__(self, literal: FloatLiteral) -> str:
        return self.write(literal)


def calling(*bits: str) -> Callable[[Callable[[FloatLiteral], str]], CFunction]:
    """Return a decorator for a function that writes C which calls these of bits_of and float_of."""
    return lambda write: CFunction(write, frozenset(bits))


CText = str | CFunction | Callable[[FloatLiteral], str]
"""C text, or, if it contains numbers, a function that takes their format."""


@dataclass(frozen=True)
class Activation:
    """One activation function. Arrays have a layer's neurons along axis 0: [out] or [out, batch].

    The parameters (leaky_relu's alpha, clip's limits) follow x in every call, as float32.
    """

    name: str
    forward: Callable[..., Float32]
    """float32, bit for bit what the C computes."""
    exact: Callable[..., Float64]
    """float64, the mathematical function."""
    c_one: CText = ""
    """Hand-written C99: `static float NAME_of(float x, …)`; empty if the function is not
    elementwise."""
    c_all: CText = ""
    """`static void NAME_all(float *x, unsigned n, …)`, in place; empty if it changes
    nothing."""
    c_helpers: tuple[CText, ...] = ()
    """C that both call, in order; equal texts are written once."""
    parameters: tuple[tuple[str, float], ...] = ()
    """Name (ONNX's, if it has one) and default of each parameter."""
    onnx_operator: str = ""
    """The operator of ONNX's default domain that computes it; empty if there is none."""
    slope: Callable[..., float] = lambda *parameters: 1.0
    """The greatest absolute derivative of the function, given the parameters."""
    absolute_error: float = 0.0
    relative_error: float = 0.0
    """|forward - exact| <= absolute_error + relative_error |exact|, measured and tested over
    all of float32; absolute_error is multiplied by the greatest parameter if that exceeds 1."""
    carried: Callable[..., Float64] | None = None
    """(x, error, *parameters) → how far an error of x moves the result, for functions whose bound
    by `slope` would be far too large; None for others."""
    needs_whole_layer: bool = False
    """True if a result depends on other neurons too."""
    gives_one: bool = False
    """True if the result is a single number, whatever the number of neurons."""
    operands: int = 1
    """Number of consecutive runs of neurons, of equal length, that it takes; it gives one run."""

    def results(self, neurons: int) -> int:
        """Return the number of results for so many neurons."""
        return 1 if self.gives_one else neurons // self.operands

    def rounding(self, x: Float64, error: Float64, *parameters: float) -> Float64:
        """Return a first-order bound of the error of the result, given the error of x."""
        if self.carried is None:
            carried = error * self.slope(*parameters)
        else:
            carried = self.carried(x, error, *parameters)
        size = np.abs(self.exact(x, *parameters))
        own = self.absolute_error * max((1.0, *map(abs, parameters)))
        return np.asarray(carried + own + self.relative_error * size, np.float64)


def c_float(value: float | np.floating) -> str:
    """Format a float32 as a C99 hexadecimal literal: exact, with no superfluous digit."""
    mantissa, exponent = float(np.float32(value)).hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}f"


def c_decimal(value: float | np.floating) -> str:
    """Format a float32 as a literal of any version of C and C++: nine digits, which are exact."""
    shown = f"{np.float32(value):.9g}"
    return f"{shown}f" if set(".e") & set(shown) else f"{shown}.0f"


def coefficients(*values: str) -> tuple[float, ...]:
    """Return a polynomial's coefficients from hexadecimal, the constant term first."""
    return tuple(float.fromhex(value) for value in values)


def horner(polynomial: tuple[float, ...], x: Float32) -> Float32:
    value = np.full_like(x, polynomial[-1])
    for coefficient in polynomial[-2::-1]:
        value = value * x + np.float32(coefficient)
    return value


def horner_c(
    name: str, polynomial: tuple[float, ...], x: str, literal: FloatLiteral, indent: int = 4
) -> str:
    """Return the statements that compute the polynomial of `x` in a new float `name`."""
    first, *others = [literal(coefficient) for coefficient in reversed(polynomial)]
    lines = [f"float {name} = {first};", *(f"{name} = {name} * {x} + {c};" for c in others)]
    return "\n".join(" " * indent + line for line in lines)


def runs(x: Float32, count: int) -> list[Float32]:
    """Split x into the operands of an activation that takes `count` runs of neurons."""
    return list(np.split(x, count, axis=0))


def each_c(name: str, *parameters: str) -> str:
    """Return NAME_all as a loop over NAME_of."""
    taken = "".join(f", float {parameter}" for parameter in parameters)
    passed = "".join(f", {parameter}" for parameter in parameters)
    return f"""\
static void {name}_all(float *x, unsigned n{taken})
{{
    for (unsigned i = 0; i < n; i++) {{
        x[i] = {name}_of(x[i]{passed});
    }}
}}
"""
