"""ONNX operators an MLP may have: one handler each, in the registry OPERATORS.

A file is read by running it on a `Stream`: what is known of the value that comes from the
observation. Constants are plain arrays. A handler takes a `Node` and gives the node's output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import SparseTensorProto, TensorProto

from export.activations import ACTIVATIONS, Float64
from export.onnx_stream import (
    BLOCK,
    COLUMNS,
    ROWS,
    VECTOR,
    Node,
    Operand,
    Stream,
    activate,
    along,
    append_layer,
    apply_affine,
    apply_limits,
    spread,
)
from export.onnx_tensors import Array

Handler = Callable[[Node], Operand]
OPERATORS: dict[str, Handler] = {}


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for the operators `names` of ONNX's default domain."""

    def register(handler: Handler) -> Handler:
        OPERATORS.update(dict.fromkeys(names, handler))
        return handler

    return register


# Layers -----------------------------------------------------------------------------------------


@operator("Gemm")
def _gemm(node: Node) -> Operand:
    """Y = alpha A' B' + beta C; the observation may be A (rows) or B (columns)."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    transposed = [bool(node.whole(name, 0)) for name in ("transA", "transB")]
    side = 0 if isinstance(node.input(0), Stream) else 1
    stream, other = node.stream(side), _matrix(node, node.constant(1 - side))
    other = other.T if transposed[1 - side] else other
    wanted = (COLUMNS if transposed[0] else ROWS, ROWS if transposed[1] else COLUMNS)[side]
    if stream.layout != wanted:
        node.refuse("it would mix the observations of a batch")
    stream = replace(stream, layout=(ROWS, COLUMNS)[side])
    weight = other.T if side == 0 else other
    if alpha != 1:
        weight = weight.astype(np.float64) * alpha
    bias = None if node.input(2) is None else _gemm_bias(node, stream, weight.shape[0], beta)
    return append_layer(node, stream, weight, bias)


def _gemm_bias(node: Node, stream: Stream, outputs: int, beta: float) -> Array:
    bias = along(node, replace(stream, width=outputs), node.constant(2))
    return spread(bias * beta, outputs)


@operator("MatMul")
def _matmul(node: Node) -> Operand:
    if isinstance(node.input(0), Stream):
        stream, weight = node.stream(0), _matrix(node, node.constant(1)).T
        fits = stream.layout in (ROWS, VECTOR)
    else:
        stream, weight = node.stream(1), _matrix(node, node.constant(0))
        fits = stream.layout in (COLUMNS, VECTOR)
    if not fits:
        node.refuse("it would mix the observations of a batch")
    return append_layer(node, stream, weight, None)


def _matrix(node: Node, constant: Array) -> Array:
    if constant.ndim != 2:
        node.refuse(f"its weights have the shape {list(constant.shape)}, not two dimensions")
    return constant


def _activation(node: Node) -> Operand:
    names = {activation.onnx_operator: name for name, activation in ACTIVATIONS.items()}
    return activate(node, node.stream(), names[node.operator])


OPERATORS.update({a.onnx_operator: _activation for a in ACTIVATIONS.values() if a.onnx_operator})


# Scaling and limits -----------------------------------------------------------------------------

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


@operator(*_ARITHMETIC)
def _elementwise(node: Node) -> Operand:
    first, second = node.input(0), node.input(1)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return _fold(node, first, second)
    if isinstance(first, Stream) and isinstance(second, Stream):
        node.refuse("it joins two values that both come from the observation")
    if isinstance(first, Stream):
        constant = along(node, first, node.constant(1))
        with np.errstate(divide="ignore"):
            scale, offset = {
                "Add": (None, constant),
                "Sub": (None, -constant),
                "Mul": (constant, None),
                "Div": (1 / constant, None),
            }[node.operator]
        return apply_affine(node, first, scale, offset)
    stream = node.stream(1)
    constant = along(node, stream, node.constant(0))
    if node.operator == "Div":
        node.refuse("it divides by a value that comes from the observation")
    scale = {"Add": None, "Sub": np.array([-1.0]), "Mul": constant}[node.operator]
    return apply_affine(node, stream, scale, None if node.operator == "Mul" else constant)


def _fold(node: Node, first: Array, second: Array) -> Array:
    """Arithmetic on two constants."""
    try:
        shape = np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        node.refuse(f"constants of shapes {list(first.shape)} and {list(second.shape)}")
    node.tensors.spend(int(np.prod(shape, dtype=object)), node.label)
    if node.operator == "Div" and np.issubdtype(second.dtype, np.integer):
        node.refuse("it divides whole numbers")
    with np.errstate(all="ignore"):
        result: Array = _ARITHMETIC[node.operator](first, second)
    return result


@operator("Neg")
def _negate(node: Node) -> Operand:
    value = node.input(0)
    if isinstance(value, np.ndarray):
        return -value
    return apply_affine(node, node.stream(), np.array([-1.0]), None)


@operator("Clip")
def _clip(node: Node) -> Operand:
    stream = node.stream()
    limits: list[Float64 | None] = []
    for index, name in ((1, "min"), (2, "max")):
        if node.opset < 11:
            given = name in node.attributes
            limits.append(np.array([node.number(name, 0.0)]) if given else None)
        else:
            given = node.input(index) is not None
            limits.append(along(node, stream, node.constant(index)) if given else None)
    return apply_limits(node, stream, *limits)


@operator("Max", "Min")
def _limit(node: Node) -> Operand:
    if len(node.inputs) != 2:
        node.refuse(f"it has {len(node.inputs)} inputs; two are possible")
    side = 0 if isinstance(node.input(0), Stream) else 1
    stream = node.stream(side)
    limit = along(node, stream, node.constant(1 - side))
    low, high = (limit, None) if node.operator == "Max" else (None, limit)
    return apply_limits(node, stream, low, high)


# What changes form only -------------------------------------------------------------------------


@operator("Identity", "Dropout")
def _identity(node: Node) -> Operand:
    return node.input(0)


@operator("Expand")
def _expand(node: Node) -> Operand:
    """Stable-Baselines3's Gaussian policies expand the mean to its own shape: nothing to do.

    An expansion to more numbers than come in shows in the output's declared shape.
    """
    return node.stream()


@operator("Constant")
def _constant(node: Node) -> Operand:
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, TensorProto):
            return node.tensors.dense(value)
        if name == "sparse_value" and isinstance(value, SparseTensorProto):
            return node.tensors.sparse(value)
        if name in ("value_float", "value_floats") and value is not None:
            return np.array(value, np.float32)
        if name in ("value_int", "value_ints") and value is not None:
            return np.array(value, np.int64)
    node.refuse("it holds no numbers")


@operator("Cast")
def _cast(node: Node) -> Operand:
    kinds: dict[int, type[np.floating]] = {
        TensorProto.FLOAT: np.float32,
        TensorProto.DOUBLE: np.float64,
    }
    kind = kinds.get(node.whole("to", TensorProto.UNDEFINED))
    if kind is None:
        node.refuse("it casts to something else than float or double")
    value = node.input(0)
    return value.astype(kind) if isinstance(value, np.ndarray) else value


@operator("Transpose")
def _transpose(node: Node) -> Operand:
    value = node.input(0)
    if isinstance(value, np.ndarray):
        return np.transpose(value, node.permutation(value.ndim))
    stream = node.stream()
    if stream.layout not in (ROWS, COLUMNS):
        node.refuse("it changes the order of the observation")
    if node.permutation(2) == [0, 1]:
        return stream
    return replace(stream, layout=COLUMNS if stream.layout == ROWS else ROWS)


@operator("Flatten")
def _flatten(node: Node) -> Operand:
    stream = node.stream()
    axis = node.whole("axis", 1)
    if axis == 1 and stream.layout in (ROWS, BLOCK):
        return replace(stream, layout=ROWS)
    if axis == 0 and stream.layout == VECTOR:
        return replace(stream, layout=ROWS)
    node.refuse(f"axis {axis} would mix the observations of a batch")


@operator("Reshape")
def _reshape(node: Node) -> Operand:
    stream, shape = node.stream(), node.constant(1).reshape(-1)[:9].tolist()
    keeps_batch = len(shape) == 2 and shape[0] in (-1, 0, 1) and stream.layout != COLUMNS
    if not keeps_batch or (shape[1] not in (-1, stream.width) and stream.width is not None):
        node.refuse(f"shape {shape} is not [batch, {stream.width}]")
    if shape[0] == -1 and shape[1] < 1:
        node.refuse(f"shape {shape} is not [batch, {stream.width}]")
    width = stream.width if stream.width is not None else (shape[1] if shape[1] > 0 else None)
    return replace(stream, width=width, layout=ROWS)
