"""Operators that change only the shape: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand,
Tile."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.symbol import Symbol
from sparsectl.policy.onnx_file.tensors import Array


@operator("Identity", "Dropout")
def identity(node: Node) -> Result:
    if node.read != {0}:
        node.refuse("its mask is used")
    if node.attributes.get("training_mode") or (
        isinstance(node.input(2), np.ndarray) and node.constant(2).any()
    ):
        node.refuse("it is in training mode")
    return node.input(0)


def moved(
    node: Node, value: Symbol | Array, function: Callable[[Array], Array], batch: int | None
) -> Symbol | Array:
    """Apply `function`, which rearranges elements, to a symbol or a constant."""
    try:
        if isinstance(value, Symbol):
            return value.moved(function, batch)
        return function(value)
    except (ValueError, IndexError):
        node.refuse(f"it does not fit a value of the shape {list(value.shape)}")


def given(node: Node, index: int = 0) -> Symbol | Array:
    value = node.input(index)
    if value is None:
        node.refuse(f"its input {index} is missing")
    return value


@operator("Expand")
def expand(node: Node) -> Result:
    value, sizes = given(node), _sizes(node, 1)
    try:
        shape = np.broadcast_shapes(value.shape, tuple(sizes))
    except ValueError:
        node.refuse(f"the shape {sizes} for a value of {list(value.shape)}")
    node.tensors.spend(4 * int(np.prod(shape, dtype=object)), node.label)
    batch = _batch(value)
    if batch is not None:
        batch += len(shape) - value.ndim
        if shape[batch] != 1:
            node.refuse("it would repeat the observations of a batch")
    return moved(node, value, lambda v: np.broadcast_to(v, shape), batch)


@operator("Tile")
def tile(node: Node) -> Result:
    value, repeats = given(node), _sizes(node, 1)
    if len(repeats) != value.ndim or any(count < 0 for count in repeats):
        node.refuse(f"repeats {repeats} for a value of {list(value.shape)}")
    node.tensors.spend(4 * value.size * math.prod(repeats), node.label)
    batch = _batch(value)
    if batch is not None and repeats[batch] != 1:
        node.refuse("it would repeat the observations of a batch")
    return moved(node, value, lambda v: np.tile(v, repeats), batch)


def _sizes(node: Node, index: int) -> list[int]:
    sizes: list[int] = node.constant(index).reshape(-1)[:9].tolist()
    if len(sizes) > 8 or not all(isinstance(size, int) for size in sizes):
        node.refuse(f"shape {sizes[:9]}")
    return sizes


def _batch(value: Symbol | Array) -> int | None:
    return value.batch if isinstance(value, Symbol) else None


@operator("Transpose")
def transpose(node: Node) -> Result:
    value = given(node)
    order = node.permutation(value.ndim)
    batch = _batch(value)
    return moved(
        node, value, lambda v: np.transpose(v, order), None if batch is None else order.index(batch)
    )


@operator("Flatten")
def flatten(node: Node) -> Result:
    value = given(node)
    axis = node.whole("axis", 1)
    if not -value.ndim <= axis <= value.ndim:
        node.refuse(f"axis {axis} of {value.ndim} dimensions")
    axis = axis + value.ndim if axis < 0 else axis
    if _batch(value) == 0 and axis == 0 and value.ndim > 1:
        node.refuse("axis 0 would mix the observations of a batch")
    return formed(node, value, [math.prod(value.shape[:axis]), math.prod(value.shape[axis:])])


@operator("Reshape")
def reshape(node: Node) -> Result:
    value, sizes = given(node), _sizes(node, 1)
    if not node.whole("allowzero", 0):
        shape = value.shape
        sizes = [shape[i] if s == 0 and i < len(shape) else s for i, s in enumerate(sizes)]
    unknown = sizes.count(-1)
    known = math.prod(size for size in sizes if size != -1)
    fits = known == value.size if unknown == 0 else known > 0 and value.size % known == 0
    if unknown > 1 or not fits or any(size < -1 for size in sizes):
        shown = f"{list(value.shape)} (the batch being 1)" if _batch(value) is not None else None
        node.refuse(f"shape {sizes} does not fit a value of {shown or list(value.shape)}")
    left = sizes.index(-1) if unknown else None
    return formed(node, value, [value.size // known if s == -1 else s for s in sizes], left)


def formed(
    node: Node, value: Symbol | Array, sizes: list[int], left: int | None = None
) -> Symbol | Array:
    """Return the value in another shape of the same size. The batch stays a dimension of 1, unless
    there would be a row for each number of an observation (scikit-learn's last step).

    left: the dimension that takes what the others leave. Where the sizes stay, it is the batch,
        which has changed places with another dimension of 1.
    """
    batch = _batch(value)
    if batch is not None:
        before = math.prod(value.shape[:batch])
        places = [i for i, s in enumerate(sizes) if s == 1 and math.prod(sizes[:i]) == before]
        stacked = len(sizes) == 2 and sizes[1] == 1
        if not places and not stacked:
            node.refuse(f"shape {sizes} would mix the observations of a batch")
        swaps = left in places and list(value.shape) == sizes
        place = left if swaps else next(iter(places), None)
        batch = None if stacked and value.size > 1 else place
    return moved(node, value, lambda v: v.reshape(sizes), batch)


@operator("Squeeze")
def squeeze(node: Node) -> Result:
    value, axes = given(node), node.wholes(1, "axes")
    batch = _batch(value)
    if axes is None:
        gone = [a for a, size in enumerate(value.shape) if size == 1 and a != batch]
    else:
        gone = [node.from_front(axis, value.ndim) for axis in axes]
    if batch in gone:
        node.refuse("it takes the batch away")
    if any(value.shape[axis] != 1 for axis in gone):
        node.refuse(f"axes {axes} of a value of {list(value.shape)} are not all 1")
    batch = None if batch is None else batch - sum(axis < batch for axis in gone)
    return moved(node, value, lambda v: np.squeeze(v, tuple(gone)), batch)


@operator("Unsqueeze")
def unsqueeze(node: Node) -> Result:
    value, axes = given(node), node.wholes(1, "axes")
    if axes is None or value.ndim + len(axes) > 8:
        node.refuse("it has no axes, or makes more than 8 dimensions")
    total = value.ndim + len(axes)
    places = {node.from_front(axis, total) for axis in axes}
    if len(places) != len(axes):
        node.refuse(f"axes {axes}")
    batch = _batch(value)
    if batch is not None:
        batch = [axis for axis in range(total) if axis not in places][batch]
    return moved(node, value, lambda v: np.expand_dims(v, tuple(sorted(places))), batch)
