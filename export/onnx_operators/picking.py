"""What takes some of the values or puts them in another order: Slice, Split, Gather, Concat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.onnx_curve import Curve
from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators.registry import Result, operator
from sparsectl.export.onnx_stream import (
    BATCH,
    COLUMNS,
    ROWS,
    VECTOR,
    Stream,
    join,
    pick,
)
from sparsectl.export.onnx_tensors import Array

_NEURONS = {ROWS: (2, 1), COLUMNS: (2, 0), VECTOR: (1, 0)}
"""Layout to its dimensions and which of them is the neurons'."""

_NO_END = 2**31 - 1


def _places(node: Node, stream: Stream) -> tuple[int, int, int]:
    """(dimensions, the neurons' axis, neurons)."""
    if stream.layout not in _NEURONS or stream.width is None:
        node.refuse("the observation's form is not [batch, values] here; flatten it first")
    return *_NEURONS[stream.layout], stream.width


@operator("Slice")
def take_slice(node: Node) -> Result:
    starts, ends = node.wholes(1, "starts"), node.wholes(2, "ends")
    axes, steps = node.wholes(3, "axes"), node.wholes(4, "steps")
    if starts is None or ends is None:
        node.refuse("it has no starts or ends")
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        node.refuse("its starts, ends, axes and steps do not fit together")
    ranges = {a: slice(*se) for a, *se in zip(axes, starts, ends, steps, strict=True)}
    value = node.input(0)
    if isinstance(value, np.ndarray):
        return _slice_constant(node, value, ranges)
    return _slice_stream(node, node.stream(), ranges)


def _slice_constant(node: Node, value: Array, ranges: dict[int, slice]) -> Array:
    if any(not -value.ndim <= axis < value.ndim for axis in ranges):
        node.refuse(f"axes {list(ranges)[:9]} of a constant of {list(value.shape)}")
    whole = [slice(None)] * value.ndim
    for axis, part in ranges.items():
        whole[axis] = _within(part, value.shape[axis])
    return value[tuple(whole)]


def _within(part: slice, size: int) -> slice:
    """ONNX's range as Python's: an end before the first, going down, is none."""
    down = part.step < 0
    end = None if down and part.stop < -size else part.stop
    return slice(part.start, end, part.step)


def _slice_stream(node: Node, stream: Stream, ranges: dict[int, slice]) -> Stream:
    dimensions, neurons, width = _places(node, stream)
    indices = np.arange(width)
    for axis, part in ranges.items():
        if axis % dimensions == neurons and -dimensions <= axis < dimensions:
            indices = indices[_within(part, indices.size)]
        elif (part.start, part.step) != (0, 1) or part.stop < _NO_END:
            node.refuse("it takes some of the observations of a batch")
    return pick(stream, indices, stream.layout)


@operator("Split")
def split(node: Node) -> Result:
    """Into as many parts as it has outputs, equal ones unless sizes are given."""
    stream = node.stream()
    dimensions, neurons, width = _places(node, stream)
    if node.axis(dimensions, 0) != neurons:
        node.refuse("it splits the observations of a batch")
    each = -(-width // node.outputs)
    sizes = node.wholes(1, "split") or [each] * (node.outputs - 1) + [
        width - each * (node.outputs - 1)
    ]
    if len(sizes) != node.outputs or min(sizes) < 1 or sum(sizes) != width:
        node.refuse(f"parts of {sizes[:9]} of {width} values")
    ends = np.cumsum(sizes).tolist()
    starts = [0, *ends[:-1]]
    parts = [np.arange(s, e) for s, e in zip(starts, ends, strict=True)]
    return tuple(pick(stream, part, stream.layout) for part in parts)


@operator("Gather")
def gather(node: Node) -> Result:
    value, indices = node.input(0), node.constant(1)
    if not np.issubdtype(indices.dtype, np.integer):
        node.refuse("its indices are not whole numbers")
    if isinstance(value, np.ndarray):
        axis = node.axis(max(value.ndim, 1), 0)
        _check_indices(node, indices, value.shape[axis] if value.ndim else 0)
        others = value.size // max(1, value.shape[axis]) if value.ndim else 0
        node.tensors.spend(indices.size * others, node.label)
        return np.asarray(np.take(value, indices, axis))
    stream = node.stream()
    dimensions, neurons, width = _places(node, stream)
    if node.axis(dimensions, 0) != neurons:
        node.refuse("it takes some of the observations of a batch")
    _check_indices(node, indices, width)
    if indices.ndim > 1 or (indices.ndim == 0 and stream.layout != ROWS):
        node.refuse(f"its indices have the shape {list(indices.shape)}")
    layout = stream.layout if indices.ndim else BATCH
    return pick(stream, indices.reshape(-1) % width, layout)


def _check_indices(node: Node, indices: NDArray[np.integer], size: int) -> None:
    if ((indices < -size) | (indices >= size)).any():
        node.refuse(f"an index is outside of {size} values")


@operator("Concat")
def concat(node: Node) -> Result:
    values = node.inputs
    if all(isinstance(value, np.ndarray) for value in values):
        return _concat_constants(node)
    streams = [i for i, value in enumerate(values) if isinstance(value, (Stream, Curve))]
    if not streams:
        node.refuse("none of its inputs comes from the observation")
    like = node.stream(streams[0])
    dimensions, neurons, _ = _places(node, like)
    if node.axis(dimensions, 0) != neurons:
        node.refuse("it joins the observations of a batch")
    parts = [_part(node, index, like) for index in range(len(values))]
    return join(parts)


def _part(node: Node, index: int, like: Stream) -> Stream:
    """An input as a stream; constants beside the observation are values times 0 plus them."""
    constant = node.input(index)
    if not isinstance(constant, np.ndarray):
        return node.stream(index)
    if not 1 <= constant.size <= max(constant.shape, default=0):
        node.refuse(f"a constant of shape {list(constant.shape)} beside the observation")
    anything = pick(like, np.zeros(constant.size, np.intp), like.layout)
    none = np.zeros(constant.size)
    numbers = constant.reshape(-1).astype(np.float64)
    return replace(anything, scale=none, offset=numbers, low=None, high=None)


def _concat_constants(node: Node) -> Array:
    arrays = [node.constant(index) for index in range(len(node.inputs))]
    node.tensors.spend(sum(array.size for array in arrays), node.label)
    try:
        return np.concatenate(arrays, node.axis(max(1, arrays[0].ndim), 0))
    except (ValueError, IndexError):
        node.refuse("constants of shapes that do not fit together")
