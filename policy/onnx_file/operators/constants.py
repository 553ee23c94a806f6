"""Constants, sizes and types."""

from __future__ import annotations

import numpy as np
from onnx import SparseTensorProto, TensorProto

from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.program import Function
from sparsectl.policy.onnx_file.spelling import relu, subtract
from sparsectl.policy.onnx_file.symbol import FLOAT, TRUTH, WHOLE, Symbol, with_kind
from sparsectl.policy.onnx_file.tensors import Array, type_name

_KINDS: dict[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT8: np.int8,
    TensorProto.UINT8: np.uint8,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.BOOL: np.bool_,
}
_TYPES: dict[str, type[np.generic]] = {FLOAT: np.float32, WHOLE: np.int64, TRUTH: np.bool_}
_BOUNDED = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "step": (0.0, 1.0), "tanh": (-1.0, 1.0)}
"""The range of activations whose range is bounded."""
_NARROW = (TensorProto.INT8, TensorProto.UINT8)
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
        node.refuse(f"the shape {sizes} is none")
    node.tensors.spend(int(np.prod(sizes, dtype=object)), node.label)
    value = node.attributes.get("value")
    filled = node.tensors.dense(value) if isinstance(value, TensorProto) else np.zeros(1, "f4")
    if filled.size != 1:
        node.refuse(f"its value has {filled.size} numbers, not one")
    return np.full(sizes, filled.reshape(-1)[0])


@operator("Range")
def number_range(node: Node) -> Result:
    start, limit, delta = (node.constant(index).reshape(-1)[0] for index in range(3))
    count = 0 if delta == 0 else max(0, int(np.ceil((float(limit) - float(start)) / float(delta))))
    if delta == 0:
        node.refuse("its step is 0")
    node.tensors.spend(count, node.label)
    return np.asarray(start + delta * np.arange(count).astype(start.dtype))


@operator("Shape")
def shape(node: Node) -> Result:
    """Return the shape for one observation: the batch's size is 1."""
    value = node.input(0)
    if value is None:
        node.refuse("its input is missing")
    sizes = list(value.shape)
    start, end = node.whole("start", 0), node.whole("end", len(sizes))
    return np.array(sizes[start:end], np.int64)


@operator("Size")
def size(node: Node) -> Result:
    value = node.input(0)
    return np.array(0 if value is None else value.size, np.int64)


@operator("Cast")
def cast(node: Node) -> Result:
    kind = node.whole("to", TensorProto.UNDEFINED)
    if kind not in _KINDS:
        node.refuse(
            f"it casts to {type_name(kind).lower()}; float, double, float16, int8, uint8, int32, "
            "int64 and bool are possible"
        )
    value = node.input(0)
    if isinstance(value, np.ndarray):
        return _cast_array(node, value, _KINDS[kind])
    value = node.symbol()
    if kind in _FLOATS:
        return with_kind(value, FLOAT)
    if kind in _NARROW and not _fits(node, value, _KINDS[kind]):
        node.refuse(
            f"it casts to {np.dtype(_KINDS[kind])} what may lie outside of it, where the result "
            "differs from processor to processor; cast to int32 or int64, or clip before it"
        )
    return _truth(node, value) if kind == TensorProto.BOOL else whole(node, value)


@operator("CastLike")
def cast_like(node: Node) -> Result:
    value, like = node.input(0), node.input(1)
    if isinstance(value, np.ndarray):
        wanted = _TYPES[like.kind] if isinstance(like, Symbol) else node.constant(1).dtype.type
        return _cast_array(node, value, wanted)
    symbol = node.symbol()
    kind = like.kind if isinstance(like, Symbol) else FLOAT
    if isinstance(like, np.ndarray) and like.dtype.kind != "f":
        kind = TRUTH if like.dtype.kind == "b" else WHOLE
    if kind == FLOAT:
        return with_kind(symbol, FLOAT)
    return _truth(node, symbol) if kind == TRUTH else whole(node, symbol)


def whole(node: Node, value: Symbol) -> Symbol:
    """Truncate towards 0, if it is not known to be whole."""
    if value.kind != FLOAT or _is_whole(node, value):
        return with_kind(value, WHOLE)
    above, below = (
        node.program.apply("round_down", relu(node.program, value.scaled(sign)))
        for sign in (1.0, -1.0)
    )
    return with_kind(subtract(node.program, above, below), WHOLE)


def _fits(node: Node, value: Symbol, kind: type[np.generic]) -> bool:
    """Return whether the value is known to lie within the integer type `kind`, of 8 bits."""
    if value.kind == TRUTH:
        return True
    step = node.program.owner(value)
    name = step.name if isinstance(step, Function) else ""
    limited = node.program.made_by(value, "clip", "quantise")
    ends = limited.parameters[-2:] if limited is not None else _BOUNDED.get(name)
    if ends is None:
        return name == "argmax"
    reached = np.array([value.scale * end + value.total for end in ends])
    least, greatest = np.iinfo(kind).min, np.iinfo(kind).max  # type: ignore[type-var]
    return bool(np.all((reached > least - 1) & (reached < greatest + 1)))


def _is_whole(node: Node, value: Symbol) -> bool:
    """Return whether the value consists of whole numbers stored as floats, such as an index that
    was cast."""
    step = node.program.owner(value)
    whole = isinstance(step, Function) and step.name in ("argmax", "step", "round_down")
    numbers = np.stack([value.scale, value.total])
    return whole and bool(np.all(numbers == np.rint(numbers)))


def _truth(node: Node, value: Symbol) -> Symbol:
    if value.kind == TRUTH:
        return value
    size = node.program.apply("absolute", value)
    return with_kind(node.program.apply("step", size), TRUTH)


def _cast_array(node: Node, value: Array, kind: type[np.generic]) -> Array:
    node.tensors.spend(value.size, node.label)
    if np.issubdtype(kind, np.integer) and not np.isfinite(value).all():
        node.refuse("it casts NaN or infinity to a whole number")
    with np.errstate(all="ignore"):
        return value.astype(kind)
