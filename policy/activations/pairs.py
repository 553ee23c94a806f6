"""Functions of two or three numbers: each is a run of neurons, and the results replace the
first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, runs


def _c(name: str, operands: int, value: str) -> str:
    """x[i] = value for the first of the runs; `second` and `third` are the others' numbers."""
    names = ["second", "third"][: operands - 1]
    taken = "\n".join(
        f"        const float {other} = x[{index} * run + i];"
        for index, other in enumerate(names, start=1)
    )
    return f"""\
static void {name}_all(float *x, unsigned n)
{{
    const unsigned run = n / {operands};
    for (unsigned i = 0; i < run; i++) {{
        const float first = x[i];
{taken}
        x[i] = {value};
    }}
}}
"""


def product(x: Float32) -> Float32:
    """a b, rounded once."""
    a, b = runs(x, 2)
    return a * b


def quotient(x: Float32) -> Float32:
    """a / b, rounded once."""
    a, b = runs(x, 2)
    return np.asarray(a / b, np.float32)


def maximum(x: Float32) -> Float32:
    """Return the greater of a and b; NaN if either is. Exact."""
    a, b = runs(x, 2)
    return np.where((a >= b) | np.isnan(a), a, b)


def minimum(x: Float32) -> Float32:
    """Return the smaller of a and b; NaN if either is. Exact."""
    a, b = runs(x, 2)
    return np.where((a <= b) | np.isnan(a), a, b)


def choice(x: Float32) -> Float32:
    """Return b where a is not 0, else c; NaN where a is. Exact."""
    a, b, c = runs(x, 3)
    return np.where(np.isnan(a), a, np.where(a != 0, b, c))


def _product_carried(x: Float64, error: Float64) -> Float64:
    (a, b), (da, db) = np.split(x, 2), np.split(error, 2)
    return np.asarray(np.abs(a) * db + np.abs(b) * da + da * db, np.float64)


def _quotient_carried(x: Float64, error: Float64) -> Float64:
    (a, b), (da, db) = np.split(x, 2), np.split(error, 2)
    room = np.abs(b) - db
    off = (da + np.abs(a) * db / np.maximum(np.abs(b), 1e-300)) / np.maximum(room, 1e-300)
    return np.where(room > 0, off, np.inf)


def _greatest_error(x: Float64, error: Float64) -> Float64:
    return np.maximum(*np.split(error, 2))


def _choice_carried(x: Float64, error: Float64) -> Float64:
    (a, b, c), (da, db, dc) = np.split(x, 3), np.split(error, 3)
    known = np.where(a != 0, db, dc)
    return np.where((np.abs(a) <= da) & (da > 0) | (da == np.inf), np.abs(b - c) + db + dc, known)


def _pair(
    name: str,
    forward: Callable[..., Float32],
    exact: Callable[..., Float64],
    value: str,
    carried: Callable[..., Float64],
    *,
    operands: int = 2,
    relative_error: float = 0.0,
    onnx_operator: str = "",
) -> Activation:
    return Activation(
        name,
        forward=forward,
        exact=exact,
        c_all=_c(name, operands, value),
        carried=carried,
        relative_error=relative_error,
        needs_whole_layer=True,
        operands=operands,
        onnx_operator=onnx_operator,
    )


def _exact(forward: Callable[..., Float32]) -> Callable[..., Float64]:
    """Return the same operation for float64."""

    def exact(x: Float64) -> Float64:
        operands = np.split(x, 3 if forward is choice else 2)
        if forward is product:
            return np.asarray(operands[0] * operands[1], np.float64)
        if forward is quotient:
            return np.asarray(operands[0] / operands[1], np.float64)
        return np.asarray(forward(x), np.float64)

    return exact


PRODUCT = _pair(
    "product",
    product,
    _exact(product),
    "first * second",
    _product_carried,
    relative_error=6e-8,
    onnx_operator="Mul",
)
QUOTIENT = _pair(
    "quotient",
    quotient,
    _exact(quotient),
    "first / second",
    _quotient_carried,
    relative_error=6e-8,
    onnx_operator="Div",
)
MAXIMUM = _pair(
    "maximum",
    maximum,
    _exact(maximum),
    "first >= second || first != first ? first : second",
    _greatest_error,
    onnx_operator="Max",
)
MINIMUM = _pair(
    "minimum",
    minimum,
    _exact(minimum),
    "first <= second || first != first ? first : second",
    _greatest_error,
    onnx_operator="Min",
)
CHOICE = _pair(
    "choice",
    choice,
    _exact(choice),
    "first != first ? first : (first != 0.0f ? second : third)",
    _choice_carried,
    operands=3,
    onnx_operator="Where",
)
