"""What changes the form only: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Identity."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators.constants import ANY_BATCH
from sparsectl.export.onnx_operators.registry import Result, operator
from sparsectl.export.onnx_stream import BATCH, BLOCK, COLUMNS, ROWS, STACKED, VECTOR, Stream
from sparsectl.export.onnx_tensors import Array


@operator("Identity", "Dropout")
def identity(node: Node) -> Result:
    if node.outputs != 1:
        node.refuse("its mask is used")
    return node.input(0)


@operator("Expand")
def expand(node: Node) -> Result:
    """Stable-Baselines3's Gaussian policies expand the mean to its own shape: nothing to do.

    An expansion to more numbers than come in shows in the output's declared shape.
    """
    value = node.input(0)
    if isinstance(value, np.ndarray):
        node.refuse("it expands a constant")
    return value


@operator("Transpose")
def transpose(node: Node) -> Result:
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
def flatten(node: Node) -> Result:
    stream = node.stream()
    axis = node.whole("axis", 1)
    if axis == 1 and stream.layout in (ROWS, BLOCK):
        return replace(stream, layout=ROWS, block=())
    if axis == 0 and (stream.layout == VECTOR or (stream.is_single and stream.layout == ROWS)):
        return replace(stream, layout=ROWS)
    node.refuse(f"axis {axis} would mix the observations of a batch")


@operator("Reshape")
def reshape(node: Node) -> Result:
    value, sizes = node.input(0), node.constant(1).reshape(-1)[:9].tolist()
    if len(sizes) > 8 or not all(isinstance(size, int) for size in sizes):
        node.refuse(f"shape {sizes[:9]}")
    if isinstance(value, np.ndarray):
        return _reshape_constant(node, value, sizes)
    stream = node.stream()
    if stream.layout == COLUMNS:
        node.refuse("it would mix the observations of a batch")
    return _reshape_stream(node, stream, sizes)


def _reshape_constant(node: Node, value: Array, sizes: list[int]) -> Array:
    kept = [value.shape[i] if s == 0 and i < value.ndim else s for i, s in enumerate(sizes)]
    try:
        return value.reshape(kept)
    except ValueError:
        node.refuse(f"shape {sizes} for a constant of {list(value.shape)}")


def _reshape_stream(node: Node, stream: Stream, sizes: list[int]) -> Stream:
    """[batch, width], [batch, a, b], or [width] of one observation; the batch is -1, 0, 1, or what
    Shape gave."""
    single = stream.is_single or stream.layout == VECTOR
    if len(sizes) == 1 and stream.width == 1 and not single and sizes[0] in (-1, ANY_BATCH):
        return replace(stream, layout=BATCH, block=())
    if len(sizes) == 1 and single and sizes[0] in (-1, stream.width):
        return replace(stream, layout=VECTOR, block=())
    if sizes == [-1, 1] and stream.layout == ROWS and (stream.width or 1) > 1:
        return replace(stream, layout=STACKED)
    rest = sizes[1:]
    keeps_batch = len(sizes) > 1 and sizes[0] in (-1, 0, 1, ANY_BATCH)
    if stream.width is None and len(rest) == 1 and rest[0] > 0 and keeps_batch:
        return replace(stream, width=rest[0], layout=ROWS, block=())
    unknown = rest.count(-1)
    known = math.prod(size for size in rest if size != -1)
    fits = known == stream.width if unknown == 0 else unknown == 1 and sizes[0] != -1
    if not keeps_batch or not fits or known < 1 or (stream.width or 0) % known:
        if not (keeps_batch and stream.width is None and rest == [-1] and sizes[0] != -1):
            node.refuse(f"shape {_shown(sizes)} is not [batch, {stream.width}]")
        return replace(stream, layout=ROWS, block=())
    block = tuple((stream.width or 0) // known if size == -1 else size for size in rest)
    return _formed(stream, block)


def _shown(sizes: list[int]) -> list[int | str]:
    return ["batch" if size == ANY_BATCH else size for size in sizes]


def _formed(stream: Stream, block: tuple[int, ...]) -> Stream:
    """The stream in the layout of [batch, *block]."""
    if not block:
        return replace(stream, layout=BATCH, block=())
    if len(block) == 1:
        return replace(stream, layout=ROWS, block=())
    return replace(stream, layout=BLOCK, block=block)


def _block(stream: Stream) -> tuple[int, ...]:
    if stream.layout == BLOCK:
        return stream.block
    return () if stream.layout == BATCH else (stream.width or 0,)


@operator("Squeeze")
def squeeze(node: Node) -> Result:
    value, axes = node.input(0), node.wholes(1, "axes")
    if isinstance(value, np.ndarray):
        return _squeeze_constant(node, value, axes)
    stream = node.stream()
    if stream.layout == VECTOR and stream.width == 1 and axes in ([0], [-1]):
        return replace(stream, layout=BATCH, is_single=True)
    if stream.layout in (VECTOR, COLUMNS) or axes is None or stream.width is None:
        node.refuse("which dimensions it takes away is not known")
    block = _block(stream)
    gone = {axis % (len(block) + 1) for axis in axes}
    if 0 in gone:
        if gone == {0} and stream.is_single and stream.layout == ROWS:
            return replace(stream, layout=VECTOR)
        node.refuse("it takes the batch away")
    if any(block[axis - 1] != 1 for axis in gone):
        node.refuse(f"axes {axes} of a shape of [batch, {str(block)[1:-1]}] are not all 1")
    kept = tuple(size for i, size in enumerate(block, 1) if i not in gone)
    return _formed(stream, kept)


def _squeeze_constant(node: Node, value: Array, axes: list[int] | None) -> Array:
    try:
        return np.squeeze(value, None if axes is None else tuple(axes))
    except (ValueError, IndexError):
        node.refuse(f"axes {axes} of a constant of {list(value.shape)}")


@operator("Unsqueeze")
def unsqueeze(node: Node) -> Result:
    value, axes = node.input(0), node.wholes(1, "axes")
    if axes is None or not 1 <= len(axes) <= 7:
        node.refuse("it has no axes")
    if isinstance(value, np.ndarray):
        try:
            return np.expand_dims(value, tuple(axes))
        except ValueError:
            node.refuse(f"axes {axes} of a constant of {list(value.shape)}")
    stream = node.stream()
    if stream.layout == VECTOR and axes == [0]:
        return replace(stream, layout=ROWS, is_single=True)
    if stream.layout in (VECTOR, COLUMNS) or stream.width is None:
        node.refuse("the batch would not be the first dimension")
    return _formed(stream, _widened(node, _block(stream), axes))


def _widened(node: Node, block: tuple[int, ...], axes: list[int]) -> tuple[int, ...]:
    total = len(block) + 1 + len(axes)
    places = {axis % total for axis in axes if -total <= axis < total}
    if len(places) != len(axes) or 0 in places:
        node.refuse(f"axes {axes}")
    sizes = iter(block)
    return tuple(1 if place in places else next(sizes) for place in range(1, total))
