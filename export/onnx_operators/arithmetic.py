"""Elementwise arithmetic: normalisers, scaling, and the parts of activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf, expit

from sparsectl.export.activations import Float64
from sparsectl.export.onnx_curve import Curve, chosen, curve_of, settled, through, together
from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators.registry import Result, Value, operator
from sparsectl.export.onnx_stream import Shared, Shifted, Stream, along, apply_affine
from sparsectl.export.onnx_tensors import Array

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
}
_UNARY: dict[str, Callable[[Any], Any]] = {
    "Abs": np.abs,
    "Erf": erf,
    "Exp": np.exp,
    "Log": np.log,
    "Reciprocal": np.reciprocal,
    "Sigmoid": expit,
    "Softplus": lambda x: np.logaddexp(x, 0),
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}

_ACTIVATIONS = ("Sigmoid", "Softplus", "Tanh")
"""Those that may come right after another one."""


@operator(*_BINARY)
def binary(node: Node) -> Result:
    first, second = node.input(0), node.input(1)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return _folded(node, first, second)
    if isinstance(second, np.ndarray):
        return _with_constant(node, node.input(0), second, constant_first=False)
    if isinstance(first, np.ndarray):
        return _with_constant(node, node.input(1), first, constant_first=True)
    if isinstance(second, Shared) and node.operator == "Sub":
        return Shifted(node.stream(0))
    if not (isinstance(first, (Stream, Curve)) and isinstance(second, (Stream, Curve))):
        node.refuse("one of its two inputs is missing, or is a logarithm of a sum")
    curves = curve_of(first, node.title), curve_of(second, node.title)
    return together(*curves, _BINARY[node.operator], node.title)


def _with_constant(node: Node, value: Any, constant: Array, constant_first: bool) -> Result:
    """An affine map stays a stream; anything else, and all that follows it, is a curve."""
    is_affine = node.operator in ("Add", "Sub", "Mul") or (
        node.operator == "Div" and not constant_first
    )
    if isinstance(value, Stream) and is_affine:
        return _affine(node, value, along(value, constant), constant_first)
    if constant.size != 1:
        return _affine(node, *_settled(node, constant, constant_first, is_affine), constant_first)
    if not isinstance(value, (Stream, Curve)):
        node.refuse("none of its inputs comes from the observation")
    number, function = float(constant.reshape(-1)[0]), _BINARY[node.operator]
    curve = curve_of(value, node.title)
    if constant_first:
        return through(curve, lambda x: function(number, x))
    return through(curve, lambda x: function(x, number))


def _settled(
    node: Node, constant: Array, constant_first: bool, is_affine: bool
) -> tuple[Stream, Float64]:
    """A number for each neuron: only possible on a stream."""
    if not is_affine:
        node.refuse("it is not an affine map, with a number for each neuron")
    stream = node.stream(1 if constant_first else 0)
    return stream, along(stream, constant)


def _affine(node: Node, stream: Stream, constant: Float64, constant_first: bool) -> Stream:
    minus = np.array([-1.0])
    with np.errstate(divide="ignore"):
        scale, offset = {
            "Add": (None, constant),
            "Sub": (minus, constant) if constant_first else (None, -constant),
            "Mul": (constant, None),
            "Div": (1 / constant, None),
        }[node.operator]
    return apply_affine(stream, scale, offset)


def _folded(node: Node, first: Array, second: Array) -> Array:
    """Arithmetic on two constants."""
    try:
        shape = np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        node.refuse(f"constants of shapes {list(first.shape)} and {list(second.shape)}")
    node.tensors.spend(int(np.prod(shape, dtype=object)), node.label)
    if np.issubdtype(first.dtype, np.integer) and np.issubdtype(second.dtype, np.integer):
        return _folded_wholes(node, first, second)
    with np.errstate(all="ignore"):
        result: Array = np.asarray(_BINARY[node.operator](first, second))
    return result


def _folded_wholes(node: Node, first: Array, second: Array) -> Array:
    """Sizes computed from sizes; a quotient is cut towards 0."""
    if node.operator not in ("Add", "Sub", "Mul", "Div") or (
        node.operator == "Div" and not second.all()
    ):
        node.refuse("it takes a power of whole numbers, compares them or divides by 0")
    with np.errstate(all="ignore"):
        if node.operator == "Div":
            return np.asarray(np.sign(first) * np.sign(second) * (abs(first) // abs(second)))
        result: Array = np.asarray(_BINARY[node.operator](first, second))
    return result


@operator("Where")
def where(node: Node) -> Result:
    """Of curves and numbers: a piecewise function."""
    values = [node.input(index) for index in range(3)]
    like = next((v for v in values if isinstance(v, (Stream, Curve))), None)
    if like is None or not isinstance(values[0], Curve):
        node.refuse("its condition does not come from the observation")
    curves = [_as_curve(node, value, curve_of(like, node.title)) for value in values]
    return chosen(curves[0], curves[1], curves[2], node.title)


def _as_curve(node: Node, value: Value, like: Curve) -> Curve:
    if isinstance(value, (Stream, Curve)):
        return curve_of(value, node.title)
    if not isinstance(value, np.ndarray) or value.size != 1:
        node.refuse("it takes a constant that is not one number")
    number = float(value.reshape(-1)[0])
    return through(like, lambda x: np.full_like(x, number))


@operator(*_UNARY)
def unary(node: Node) -> Result:
    """Of a constant, folded; of a stream, a curve: part of an activation (or none)."""
    value, function = node.input(0), _UNARY[node.operator]
    if isinstance(value, np.ndarray):
        if not np.issubdtype(value.dtype, np.floating):
            node.refuse("it takes whole numbers")
        node.tensors.spend(value.size, node.label)
        with np.errstate(all="ignore"):
            return np.asarray(function(value))
    if not isinstance(value, (Stream, Curve)):
        node.refuse("its input is missing, or is a logarithm of a sum")
    if node.operator in _ACTIVATIONS:
        value = settled(value, node.tensors.spend)
    return through(curve_of(value, node.title), function)


@operator("Neg")
def negate(node: Node) -> Result:
    value = node.input(0)
    if isinstance(value, np.ndarray):
        return -value
    if isinstance(value, Curve):
        return through(curve_of(value, node.title), np.negative)
    return apply_affine(node.stream(), np.array([-1.0]), None)


@operator("ai.onnx.ml.Scaler")
def scaler(node: Node) -> Result:
    """(x - offset) * scale: scikit-learn's StandardScaler."""
    stream = node.stream()
    scale, offset = node.numbers("scale", [1.0]), node.numbers("offset", [0.0])
    shifted = apply_affine(stream, None, -along(stream, np.array(offset)))
    return apply_affine(shifted, along(shifted, np.array(scale)), None)
