"""Constants, and shapes computed from shapes."""

from __future__ import annotations

import numpy as np
from onnx import SparseTensorProto, TensorProto

from sparsectl.export.onnx_curve import Curve
from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators.registry import Result, operator
from sparsectl.export.onnx_stream import BATCH, BLOCK, COLUMNS, VECTOR, Shifted, Stream
from sparsectl.export.onnx_tensors import Array

ANY_BATCH = np.iinfo(np.int64).min
"""Stands for the number of observations in shapes."""

_KINDS: dict[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
}
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


@operator("Constant")
def constant(node: Node) -> Result:
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, TensorProto):
            return node.tensors.dense(value)
        if name == "sparse_value" and isinstance(value, SparseTensorProto):
            return node.tensors.sparse(value)
        if name == "value_float":
            return np.array(node.number(name, 0.0), np.float32)
        if name == "value_int":
            return np.array(node.whole(name, 0), np.int64)
        if name in ("value_floats", "value_ints"):
            kind = np.float32 if name == "value_floats" else np.int64
            return np.array(node.numbers(name, []), kind)
    node.refuse("it holds no numbers")


@operator("ConstantOfShape")
def constant_of_shape(node: Node) -> Result:
    sizes = node.constant(0).reshape(-1)[:9].tolist()
    if len(sizes) > 8 or not all(isinstance(size, int) and size >= 0 for size in sizes):
        node.refuse(f"the shape {sizes} depends on the number of observations, or is none")
    node.tensors.spend(int(np.prod(sizes, dtype=object)), node.label)
    value = node.attributes.get("value")
    filled = node.tensors.dense(value) if isinstance(value, TensorProto) else np.zeros(1, "f4")
    if filled.size != 1:
        node.refuse(f"its value has {filled.size} numbers, not one")
    return np.full(sizes, filled.reshape(-1)[0])


@operator("Shape")
def shape(node: Node) -> Result:
    value = node.input(0)
    if isinstance(value, np.ndarray):
        sizes = list(value.shape)
    else:
        sizes = shape_of(node, node.stream())
    start, end = node.whole("start", 0), node.whole("end", len(sizes))
    return np.array(sizes[start:end], np.int64)


def shape_of(node: Node, stream: Stream) -> list[int]:
    """The sizes of a stream, ANY_BATCH for the batch's."""
    batch = 1 if stream.is_single else ANY_BATCH
    if stream.layout == BATCH:
        return [batch]
    if stream.width is None:
        node.refuse("nothing before it says how many values an observation has")
    if stream.layout == BLOCK:
        return [batch, *stream.block]
    if stream.layout == VECTOR:
        return [stream.width]
    return [stream.width, batch] if stream.layout == COLUMNS else [batch, stream.width]


@operator("Cast")
def cast(node: Node) -> Result:
    """A whole number of argmax counts as float; other values stay floats."""
    kind = node.whole("to", TensorProto.UNDEFINED)
    if kind not in _KINDS:
        node.refuse("it casts to something else than float, double or int")
    value = node.input(0)
    if isinstance(value, np.ndarray):
        return _cast_array(node, value, _KINDS[kind])
    if kind not in _FLOATS:
        stream = node.stream()
        if not (stream.layers and stream.layers[-1].activation == "argmax" and stream.is_bare):
            node.refuse("it casts to something else than float or double")
        return stream
    return value if isinstance(value, (Curve, Shifted)) else node.stream()


def _cast_array(node: Node, value: Array, kind: type[np.generic]) -> Array:
    node.tensors.spend(value.size, node.label)
    if np.issubdtype(kind, np.integer) and not np.isfinite(value).all():
        node.refuse("it casts NaN or infinity to a whole number")
    with np.errstate(all="ignore"):
        return value.astype(kind)
