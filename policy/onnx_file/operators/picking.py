"""Operators that select or reorder values: Slice, Split, Gather and its kin, Concat, Pad."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.form import given, moved
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.program import Function
from sparsectl.policy.onnx_file.spelling import add
from sparsectl.policy.onnx_file.symbol import (
    FLOAT,
    NOTHING,
    WHOLE,
    Symbol,
    constants,
    joined,
    with_kind,
)
from sparsectl.policy.onnx_file.tensors import Array

MOST_TABLED = 1_000
_NO_END = 10**9  # as tf2onnx writes it; others write the greatest whole number


def _kept(value: Symbol | Array) -> int | None:
    return value.batch if isinstance(value, Symbol) else None


@operator("Slice")
def take_slice(node: Node) -> Result:
    value = given(node)
    starts, ends = node.wholes(1, "starts"), node.wholes(2, "ends")
    axes, steps = node.wholes(3, "axes"), node.wholes(4, "steps")
    if starts is None or ends is None:
        node.refuse("it has no starts or ends")
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        node.refuse("its starts, ends, axes and steps do not fit together")
    whole = [slice(None)] * value.ndim
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        place = node.from_front(axis, value.ndim)
        part = slice(*bounds)
        if place == _kept(value):
            if (part.start, part.step) != (0, 1) or part.stop < _NO_END:
                node.refuse("it takes some of the observations of a batch")
            continue
        whole[place] = _within(part, value.shape[place])
    return moved(node, value, lambda v: v[tuple(whole)], _kept(value))


def _within(part: slice, size: int) -> slice:
    """Convert ONNX's range to Python's: a descending range that ends before the first has no
    end."""
    down = part.step < 0
    end = None if down and part.stop < -size else part.stop
    return slice(part.start, end, part.step)


@operator("Split")
def split(node: Node) -> Result:
    """Split into as many parts as it has outputs, equal unless sizes are given."""
    value = given(node)
    axis = node.axis(value.ndim, 0)
    if axis == _kept(value):
        node.refuse("it splits the observations of a batch")
    width = value.shape[axis]
    each = -(-width // node.outputs)
    sizes = node.wholes(1, "split") or [each] * (node.outputs - 1) + [
        width - each * (node.outputs - 1)
    ]
    if len(sizes) != node.outputs or min(sizes) < 0 or sum(sizes) != width:
        node.refuse(f"parts of {sizes[:9]} of {width} values")
    ends = np.cumsum(sizes).tolist()
    starts = [0, *ends[:-1]]
    before = [slice(None)] * axis
    places = [(*before, slice(s, e)) for s, e in zip(starts, ends, strict=True)]
    batch = _kept(value)
    return tuple(moved(node, value, itemgetter(place), batch) for place in places)


@operator("Gather")
def gather(node: Node) -> Result:
    value = given(node)
    axis = node.axis(max(value.ndim, 1), 0)
    if isinstance(node.input(1), Symbol):
        if axis:
            node.refuse("its indices come from the observation, and its axis is not the first")
        return _tabled(node, value, node.symbol(1))
    indices = node.constant(1)
    if not np.issubdtype(indices.dtype, np.integer):
        node.refuse("its indices are not whole numbers")
    if axis == _kept(value):
        node.refuse("it takes some of the observations of a batch")
    size = value.shape[axis] if value.ndim else 0
    _check_indices(node, indices, size)
    node.tensors.spend(4 * indices.size * (value.size // max(1, size)), node.label)
    batch = _kept(value)
    if batch is not None and batch > axis:
        batch += indices.ndim - 1
    return moved(node, value, lambda v: np.take(v, indices, axis), batch)


@operator("GatherElements")
def gather_elements(node: Node) -> Result:
    value = given(node)
    axis = node.axis(max(value.ndim, 1), 0)
    if isinstance(node.input(1), Symbol):
        if not isinstance(value, Symbol) and value.size == value.shape[axis]:
            value = value.reshape(-1)
        return _tabled(node, value, node.symbol(1), most=1)
    indices = node.constant(1)
    if axis == _kept(value) or not np.issubdtype(indices.dtype, np.integer):
        node.refuse(
            "it takes some of the observations of a batch, or by numbers that are not whole"
        )
    _check_indices(node, indices, value.shape[axis])
    node.tensors.spend(4 * indices.size, node.label)
    wrapped = indices % value.shape[axis]
    return moved(node, value, lambda v: np.take_along_axis(v, wrapped, axis), _kept(value))


@operator("GatherND")
def gather_nd(node: Node) -> Result:
    """Take the parts whose place in the first dimensions is each of the indices' last one, as
    torch's newer exporter writes x[:, [2, 0, 1]] between two Transposes, and levels[choice]."""
    value = given(node)
    if isinstance(node.input(1), Symbol):
        index = node.symbol(1)
        if node.whole("batch_dims", 0) or index.ndim == 0 or index.shape[-1] != 1:
            node.refuse("its indices come from the observation, and are not one for each part")
        return _tabled(node, value, index.moved(lambda v: v[..., 0], index.batch))
    indices = node.constant(1)
    if node.whole("batch_dims", 0) or not np.issubdtype(indices.dtype, np.integer):
        node.refuse("its indices are of each observation, or not whole numbers")
    depth = indices.shape[-1] if indices.ndim else 0
    if not 1 <= depth <= value.ndim:
        node.refuse(f"indices of {depth} dimensions for a value of {value.ndim}")
    batch = _kept(value)
    if batch is not None:
        if batch < depth:
            node.refuse("it takes some of the observations of a batch")
        batch += indices.ndim - 1 - depth
    for axis in range(depth):
        _check_indices(node, indices[..., axis], value.shape[axis])
    count = indices.size // depth
    node.tensors.spend(4 * count * int(np.prod(value.shape[depth:])), node.label)
    places = tuple(np.moveaxis(indices, -1, 0))
    return moved(node, value, lambda v: v[places], batch)


@operator("ai.onnx.ml.ArrayFeatureExtractor")
def extract(node: Node) -> Result:
    """Select elements along the last dimension, as scikit-learn maps an index to its class."""
    value = given(node)
    if isinstance(node.input(1), Symbol):
        table = np.asarray(node.constant(0)).reshape(-1)
        return _tabled(node, table, node.symbol(1))
    indices = node.constant(1).reshape(-1)
    _check_indices(node, indices, value.shape[-1])
    return moved(node, value, lambda v: np.take(v, indices, -1), _kept(value))


@operator("OneHot")
def one_hot(node: Node) -> Result:
    """Write an index as 1 at its place and 0 elsewhere, or as the two values that it is given."""
    if node.is_constant:
        node.refuse("its indices are constants")
    depth, values = node.constant(1).reshape(-1), node.constant(2).reshape(-1)
    if depth.size != 1 or values.size != 2 or not 1 <= depth[0] < MOST_TABLED:
        node.refuse(f"a depth of {depth[:9].tolist()} and values {values[:9].tolist()}")
    index, size = node.symbol(), int(depth[0])
    axis = node.from_front(node.whole("axis", -1), index.ndim + 1)
    node.tensors.spend(4 * (2 * size + 2) * size * index.size, node.label)
    # From the end on they count from -1; before and behind all places none is meant.
    rows = np.arange(-size - 1, size + 1)
    table = np.where((rows % size)[:, None] == np.arange(size), values[1], values[0])
    table[[0, -1]] = values[0]
    found = tabled_from(node, table, index, first=-size - 1)
    batch = index.batch
    if batch is not None and axis <= batch:
        batch += 1
    return found.moved(lambda v: np.moveaxis(v, -1, axis), batch)


def _tabled(node: Node, table: Symbol | Array, index: Symbol, most: int = 8) -> Symbol:
    """Return table[index] of constants, along the first of at most `most` dimensions."""
    if isinstance(table, Symbol):
        node.refuse("both its indices and its values come from the observation")
    if not 1 <= table.ndim <= most or table.dtype.kind not in "fiu":
        node.refuse("its indices come from the observation, and it is no table of numbers")
    return tabled_from(node, table, index)


def tabled_from(node: Node, table: Array, index: Symbol, first: int = 0) -> Symbol:
    """Return a constant for each whole number, or an array of them, as a sum of steps.

    first: the number that the first constant is for. With 0, numbers under 0 count from the end.
    """
    size = len(table)
    if not 1 <= size <= 2 * MOST_TABLED or index.kind == FLOAT:
        node.refuse(f"a table of {size} numbers is read; {MOST_TABLED} are possible")
    if not np.isfinite(table).all():
        node.refuse("its table has NaN or infinity")
    values, low, high = table.astype(np.float64), first, first + size - 1
    if (reached := _reached_by(node, index)) is not None:
        low, high = reached
        places = np.arange(low, high + 1) - first
        if places[0] < -size * (first == 0) or places[-1] >= size:
            node.refuse(f"its indices are from {low} to {high}, of {size} values")
        values = values[places]
    wide = index.moved(lambda v: v.reshape(v.shape + (1,) * (table.ndim - 1)), index.batch)
    kind = FLOAT if table.dtype.kind == "f" else WHOLE
    rises = np.diff(values, axis=0)
    if (rises == rises[:1]).all():
        rise = rises[0] if len(rises) else np.zeros(values.shape[1:])
        return with_kind(wide.mapped(rise, values[0] - low * rise), kind)
    shape = (*index.shape, *values.shape[1:])
    found = constants(np.broadcast_to(values[0], shape))
    for place, rise in enumerate(rises, low):
        if rise.any():
            reached_here = node.program.apply("step", wide.mapped(None, -(place + 0.5)))
            found = add(node.program, found, reached_here.scaled(rise))
    return with_kind(found, kind)


def _reached_by(node: Node, index: Symbol) -> tuple[int, int] | None:
    """Return the least and the greatest that an index of choices or a truth value may be; None:
    not known."""
    ends = []
    each = (array.reshape(-1).tolist() for array in (index.atom, index.scale, index.total))
    for atom, scale, total in zip(*each, strict=True):
        step = node.program.step_of(atom) if atom != NOTHING else None
        if not isinstance(step, Function) or step.name not in ("argmax", "step"):
            return None
        last = step.inputs.shape[1] - 1 if step.name == "argmax" else 1
        ends += [total, scale * last + total]
    return round(min(ends)), round(max(ends))


def _check_indices(node: Node, indices: NDArray[np.integer], size: int) -> None:
    if ((indices < -size) | (indices >= size)).any():
        node.refuse(f"an index is outside of {size} values")


@operator("Concat")
def concat(node: Node) -> Result:
    if node.is_constant:
        return _concat_constants(node)
    values = [node.numbers_of(index) for index in range(len(node.inputs))]
    like = next(value for value in node.inputs if isinstance(value, Symbol))
    axis = node.axis(like.ndim, 0)
    if axis == like.batch:
        node.refuse("it joins the observations of a batch")
    node.tensors.spend(4 * sum(value.size for value in values), node.label)
    try:
        return joined(values, axis)
    except ValueError:
        node.refuse(f"values of the shapes {[list(v.shape) for v in values][:9]}")


def _concat_constants(node: Node) -> Array:
    arrays = [node.constant(index) for index in range(len(node.inputs))]
    node.tensors.spend(sum(array.size for array in arrays), node.label)
    try:
        return np.concatenate(arrays, node.axis(max(1, arrays[0].ndim), 0))
    except (ValueError, IndexError):
        node.refuse("constants of shapes that do not fit together")


@operator("Pad")
def pad(node: Node) -> Result:
    """Pad with a constant."""
    value, pads = node.symbol(), node.wholes(1, "pads")
    if node.text("mode", "constant") != "constant" or pads is None or node.input(3) is not None:
        node.refuse("its mode is not constant, or it names axes")
    number = node.number("value", 0.0)
    if node.input(2) is not None:
        number = float(node.constant(2).reshape(-1)[0])
    if len(pads) != 2 * value.ndim or min(pads) < 0:
        node.refuse(f"pads {pads[:9]} for a value of {list(value.shape)}")
    if value.batch is not None and (pads[value.batch] or pads[value.batch + value.ndim]):
        node.refuse("it adds observations to a batch")
    for axis in range(value.ndim):
        before, after = pads[axis], pads[axis + value.ndim]
        rest = [*value.shape]
        node.tensors.spend(4 * (before + after) * value.size, node.label)
        sides = [
            constants(np.full([*rest[:axis], n, *rest[axis + 1 :]], number))
            for n in (before, after)
        ]
        value = joined([sides[0], value, sides[1]], axis)
    return value
