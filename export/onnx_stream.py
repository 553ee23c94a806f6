"""What is known of a value on its way through an ONNX file, and what may happen to it there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from common.errors import UserError
from export.activations import Float64
from export.graph import Layer
from export.onnx_tensors import Array, TensorReader

VECTOR, ROWS, COLUMNS, BLOCK = "vector", "rows", "columns", "block"


@dataclass(frozen=True)
class Stream:
    """The value that comes from the observation: layers, then an affine map, then limits.

    value = clip(scale * layers(observation) + offset, low, high)
    """

    width: int | None
    """Numbers an observation has here; None until a layer or constant tells."""
    layout: str
    """[width], [batch, width], [width, batch], or more dimensions (to be flattened)."""
    layers: tuple[Layer, ...] = ()
    is_open: bool = False
    """Whether the last layer may still take an activation."""
    has_bias: bool = True
    scale: Float64 | None = None
    offset: Float64 | None = None
    low: Float64 | None = None
    high: Float64 | None = None

    @property
    def is_clipped(self) -> bool:
        return self.low is not None or self.high is not None


Operand = Stream | Array | None


@dataclass(frozen=True)
class Node:
    """A node with its inputs' values."""

    label: str
    operator: str
    inputs: tuple[Operand, ...]
    attributes: dict[str, Any]
    opset: int
    tensors: TensorReader

    def refuse(self, why: str) -> NoReturn:
        raise UserError(
            f"{self.label} ({self.operator}) cannot be exported: {why}; "
            "give a plain MLP of Gemm or MatMul+Add, Relu, Tanh and scaling"
        )

    def input(self, index: int) -> Operand:
        return self.inputs[index] if index < len(self.inputs) else None

    def stream(self, index: int = 0) -> Stream:
        value = self.input(index)
        if not isinstance(value, Stream):
            self.refuse(f"its input {index} does not come from the observation")
        return value

    def constant(self, index: int) -> Array:
        value = self.input(index)
        if not isinstance(value, np.ndarray):
            self.refuse(f"its input {index} is not a constant")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)):
            self.refuse(f"its attribute {name} is not a number")
        return value

    def whole(self, name: str, default: int) -> int:
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            self.refuse(f"its attribute {name} is not a whole number")
        return value

    def permutation(self, dimensions: int) -> list[int]:
        """The attribute perm; without it the dimensions in reverse."""
        value = list(self.attributes.get("perm") or range(dimensions)[::-1])
        if sorted(value) != list(range(dimensions)):
            self.refuse(f"perm {value[:9]} for {dimensions} dimensions")
        return value


def append_layer(node: Node, stream: Stream, weight: Array, bias: Array | None) -> Stream:
    """weight [out, in], bias [out] or None; the affine map before it is folded in."""
    if stream.is_clipped:
        node.refuse("limits (Clip) are only possible after the last layer")
    if stream.width not in (None, weight.shape[1]):
        node.refuse(f"its weights take {weight.shape[1]} values but {stream.width} come in")
    total = np.zeros(weight.shape[0]) if bias is None else bias
    if stream.offset is not None:
        total = total + weight @ spread(stream.offset, weight.shape[1])
    if stream.scale is not None:
        weight = weight * stream.scale
    layer = _layer(node, weight, total, "identity")
    return Stream(
        width=layer.outputs,
        layout=stream.layout,
        layers=(*stream.layers, layer),
        is_open=True,
        has_bias=bias is not None,
    )


def apply_affine(
    node: Node, stream: Stream, scale: Float64 | None, offset: Float64 | None
) -> Stream:
    """scale * value + offset, each [width] or [1]; None is nothing to do."""
    for vector in (scale, offset):
        if vector is not None and not np.isfinite(vector).all():
            node.refuse("a constant is NaN or infinite, or a division is by 0")
        if stream.width is None and vector is not None and vector.size > 1:
            stream = replace(stream, width=vector.size)
    is_bias = stream.is_open and not stream.has_bias and stream.scale is None
    if is_bias and scale is None and offset is not None and not stream.is_clipped:
        return _with_bias(node, stream, offset)

    def through(value: Float64 | None) -> Float64 | None:
        if value is not None and scale is not None:
            value = value * scale
        return value if offset is None or value is None else value + offset

    low, high = through(stream.low), through(stream.high)
    if scale is not None and (scale < 0).any() and stream.is_clipped:
        node.refuse("a negative scale after limits (Clip)")
    return replace(
        stream,
        scale=_product(stream.scale, scale),
        offset=through(stream.offset) if stream.offset is not None else offset,
        low=low,
        high=high,
    )


def apply_limits(node: Node, stream: Stream, low: Float64 | None, high: Float64 | None) -> Stream:
    """Clip to [low, high], each [width] or [1]; limits in a row become one pair."""
    if any(limit is not None and np.isnan(limit).any() for limit in (low, high)):
        node.refuse("a limit is NaN")

    def limited(value: Float64) -> Float64:
        value = value if low is None else np.maximum(value, low)
        return value if high is None else np.minimum(value, high)

    return replace(
        stream,
        low=low if stream.low is None else limited(stream.low),
        high=high if stream.high is None else limited(stream.high),
    )


def activate(node: Node, stream: Stream, activation: str) -> Stream:
    """Close the last layer with its activation; an affine map after the layer is folded in."""
    if stream.is_clipped:
        node.refuse("limits (Clip) are only possible after the last layer")
    if not stream.is_open:
        node.refuse("there is no layer (Gemm or MatMul) right before it")
    last = stream.layers[-1]
    weight, bias = last.weight.astype(np.float64), last.bias.astype(np.float64)
    if stream.scale is not None:
        weight, bias = weight * stream.scale[:, None], bias * stream.scale
    if stream.offset is not None:
        bias = bias + stream.offset
    layer = _layer(node, weight, bias, activation)
    return Stream(layer.outputs, stream.layout, (*stream.layers[:-1], layer))


def _with_bias(node: Node, stream: Stream, bias: Float64) -> Stream:
    last = stream.layers[-1]
    layer = _layer(node, last.weight, spread(bias, last.outputs), last.activation)
    return replace(stream, layers=(*stream.layers[:-1], layer), has_bias=True)


def _layer(node: Node, weight: Array, bias: Array, activation: str) -> Layer:
    try:
        return Layer(weight, bias, activation)
    except UserError as error:
        raise UserError(f"{node.label} ({node.operator}): {error}") from error


def spread(vector: Float64, width: int) -> Float64:
    return np.broadcast_to(vector, (width,))


def _product(first: Float64 | None, second: Float64 | None) -> Float64 | None:
    if first is None or second is None:
        return second if first is None else first
    return first * second


def along(node: Node, stream: Stream, constant: Array) -> Float64:
    """A constant that meets the stream elementwise, as [width] or [1] float64."""
    if stream.layout == BLOCK:
        node.refuse("the observation has more than two dimensions here; flatten it first")
    shape = constant.shape
    if len(shape) > 2:
        node.refuse(f"a constant of shape {list(shape)} meets the observation")
    if constant.size != 1:
        place = -2 if stream.layout == COLUMNS else -1
        length = shape[place] if len(shape) >= -place else 0
        if constant.size != length or stream.width not in (None, length):
            node.refuse(f"a constant of shape {list(shape)} meets {stream.width} values")
    return constant.astype(np.float64).reshape(-1)
