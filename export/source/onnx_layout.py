"""Convert flat observations to the inputs of an ONNX file, and its results to actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ValueInfoProto, helper

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32

Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Input:
    """An input of the file; a size of None is not fixed."""

    name: str
    sizes: tuple[int | None, ...]
    dtype: Any
    batch_axis: int | None = None
    """For a part of the state: the axis of the observations; `sizes` are then those of one."""

    @property
    def signals(self) -> int | None:
        """Number of its values per observation; None if the file does not say."""
        if self.batch_axis is not None:
            return prod(size or 1 for size in self.sizes)
        known = self.sizes if len(self.sizes) == 1 else self.sizes[1:]
        return None if None in known else prod(size for size in known if size is not None)

    def rows(self, width: int) -> int | None:
        """Return the number of observations per call: 1, or the file's fixed number; None: any."""
        if self.batch_axis is not None:
            return None
        fixed = [size for size in self.sizes if size is not None]
        if len(self.sizes) < 2 or (len(fixed) == len(self.sizes) and prod(fixed) == width):
            return 1
        if len(self.sizes) == 2 and self.sizes[0] == width and self.sizes[1] is None:
            return 1  # a column
        return self.sizes[0]

    def shape(self, rows: int, width: int, together: bool) -> tuple[int, ...]:
        """Return its shape for `rows` observations; `together`: even if the file is for a single
        one."""
        if not self.sizes:
            return (rows, width)
        if len(self.sizes) < 2:
            return (rows, width) if together else (width,)
        if self.rows(width) == 1 and not together:
            return _filled(self.sizes, width)
        return (rows, *_filled(self.sizes[1:], width))


@dataclass(frozen=True)
class Layout:
    """All inputs of a file, which follow one another in the observation."""

    inputs: tuple[Input, ...]
    widths: tuple[int, ...]

    @property
    def rows(self) -> int | None:
        """Return the number of observations per call; None: any."""
        fixed = [i.rows(width) for i, width in zip(self.inputs, self.widths, strict=True)]
        known = [rows for rows in fixed if rows is not None]
        return min(known) if known else None

    def too_large(self, observations: Float32) -> NDArray[np.bool_]:
        """Return for each row whether an input's own type (float16) can only represent one of its
        values as infinity, [rows]."""
        found, start = np.zeros(len(observations), bool), 0
        for each, width in zip(self.inputs, self.widths, strict=True):
            if np.issubdtype(each.dtype, np.floating):
                part = np.abs(observations[:, start : start + width])
                found |= (part > np.finfo(each.dtype).max).any(axis=1)
            start += width
        return found

    def feeds(self, observations: Float32, together: bool = False) -> Feeds:
        """Return what the file's inputs are given for observations [rows, observation_size]; with
        `together` as a batch, even if the file has none."""
        feeds, start = {}, 0
        for each, width in zip(self.inputs, self.widths, strict=True):
            part = observations[:, start : start + width]
            start += width
            if each.batch_axis is not None:
                feeds[each.name] = _states(part, each)
                continue
            dtype = _wide(part, each.dtype)
            feeds[each.name] = part.reshape(each.shape(len(part), width, together)).astype(dtype)
        return feeds


def layout_of(
    inputs: Sequence[ValueInfoProto], observation_size: int, states: Sequence[Input] = ()
) -> Layout:
    """Return the inputs of a file in its order, for observations of that size. `states`, which are
    among the inputs too, come after them, and their values are not counted.

    Raises:
        UserError: they do not take as many values.
    """
    carried = {state.name for state in states}
    found = tuple(_input(value) for value in inputs if value.name not in carried)
    widths = [each.signals for each in found]
    if len(found) == 1 and widths[0] != observation_size:
        sizes = found[0].sizes
        fixed = None not in sizes and prod(s for s in sizes if s is not None) == observation_size
        if widths[0] is None or fixed or not sizes:
            widths = [observation_size]
    known = [width for width in widths if width is not None]
    if len(known) < len(widths) or sum(known) != observation_size:
        shown = ", ".join(f"{each.name} {list(each.sizes)}" for each in found[:5])
        raise UserError(
            f"its inputs ({shown}) are not the {observation_size} values that the policy was read "
            "with; export it with fixed sizes"
        )
    own = [state.signals or 0 for state in states]
    return Layout((*found, *states), (*known, *own))


def _states(part: NDArray[Any], each: Input) -> NDArray[Any]:
    """Return states [rows, values] in the shape that the file takes, with the rows along its batch
    axis."""
    axis = each.batch_axis or 0
    sizes = [size or 1 for size in each.sizes]
    rest = sizes[:axis] + sizes[axis + 1 :]
    dtype = _wide(part, each.dtype)
    return np.moveaxis(part.reshape(len(part), *rest), 0, axis).astype(dtype)


def _wide(part: NDArray[Any], dtype: Any) -> Any:
    """Return the type to use for an input: a state in float64, as the run in float64 produces it,
    stays so where the file has float32. What the file takes in float16 its runner rounds, so that
    the run in float64 has the observation itself."""
    coarser = dtype == np.float16 or (part.dtype == np.float64 and dtype == np.float32)
    return part.dtype if coarser else dtype


def _input(value: ValueInfoProto) -> Input:
    kind = value.type.tensor_type
    sizes = tuple(d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim)
    return Input(value.name, sizes, helper.tensor_dtype_to_np_dtype(kind.elem_type))


def _filled(sizes: Sequence[int | None], total: int) -> tuple[int, ...]:
    """Return sizes whose product is `total`, with an open one filled in; of several, the last one
    gets all that is left."""
    known = prod(size for size in sizes if size is not None)
    left = total // max(known, 1)
    filled = []
    for size in reversed(sizes):
        filled.append(left if size is None else size)
        left = 1 if size is None else left
    return tuple(reversed(filled))
