"""Elementwise arithmetic: normalisers, scaling, and the parts of activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf, expit

from export.activations import Float64
from export.onnx_curve import Curve, curve_of, through, together
from export.onnx_node import Node
from export.onnx_operators.registry import Result, operator
from export.onnx_stream import Stream, along, apply_affine
from export.onnx_tensors import Array

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
}
_UNARY: dict[str, Callable[[Any], Any]] = {
    "Abs": np.abs,
    "Erf": erf,
    "Exp": np.exp,
    "Log": np.log,
    "Reciprocal": np.reciprocal,
    "Sigmoid": expit,
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}


@operator(*_BINARY)
def binary(node: Node) -> Result:
    first, second = node.input(0), node.input(1)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return _folded(node, first, second)
    if isinstance(second, np.ndarray):
        return _with_constant(node, node.input(0), second, constant_first=False)
    if isinstance(first, np.ndarray):
        return _with_constant(node, node.input(1), first, constant_first=True)
    if first is None or second is None:
        node.refuse("one of its two inputs is missing")
    curves = curve_of(first, node.title), curve_of(second, node.title)
    return together(*curves, _BINARY[node.operator], node.title)


def _with_constant(node: Node, value: Any, constant: Array, constant_first: bool) -> Result:
    """An affine map stays a stream; anything else, and all that follows it, is a curve."""
    is_affine = node.operator != "Pow" and not (node.operator == "Div" and constant_first)
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
        node.refuse("it divides by a value from the observation, or takes a power")
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
    integers = np.issubdtype(second.dtype, np.integer)
    if node.operator in ("Div", "Pow") and integers and np.issubdtype(first.dtype, np.integer):
        node.refuse("it divides whole numbers or takes their power")
    with np.errstate(all="ignore"):
        result: Array = np.asarray(_BINARY[node.operator](first, second))
    return result


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
    if value is None:
        node.refuse("its input is missing")
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
    scale, offset = (np.array(node.attributes.get(n) or [d]) for n, d in _SCALER_DEFAULTS)
    shifted = apply_affine(stream, None, -along(stream, offset.astype(np.float64)))
    return apply_affine(shifted, along(shifted, scale.astype(np.float64)), None)


_SCALER_DEFAULTS = (("scale", 1.0), ("offset", 0.0))
