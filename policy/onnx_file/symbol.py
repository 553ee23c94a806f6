"""A tensor on its way through an ONNX file, for one observation: what each of its elements is.

What only moves elements about (Reshape, Slice, Concat, Expand, …) is numpy's own work on the arrays
of a Symbol, exact and general; scaling by constants changes the numbers beside the elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.activations import Float64

FLOAT, WHOLE, TRUTH = "float", "whole number", "truth value"

NOTHING = -1
"""The atom of an element that is a constant."""


class SymbolError(Exception):
    """States why an operation on a symbol is impossible; the handler adds the node's name."""


@dataclass(frozen=True, eq=False)
class Symbol:
    """Each element is scale * (atom + shift) + offset; an atom is a number that a step of the
    program makes (`policy.onnx_file.program`). The shift is what was taken off before any scaling:
    kept apart, as (x - mean) / deviation loses digits where it becomes
    x / deviation - mean / deviation.

    Symbols have the shape of the file's tensor for a batch of one observation.
    """

    atom: NDArray[np.int64]
    scale: Float64
    shift: Float64
    offset: Float64
    kind: str = FLOAT
    batch: int | None = None
    """Index of the batch dimension, if the file leaves it open; None: the file takes one
    observation."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.atom.shape

    @property
    def size(self) -> int:
        return self.atom.size

    @property
    def ndim(self) -> int:
        return self.atom.ndim

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Return the elements that depend on no atom."""
        return np.asarray(self.atom == NOTHING)

    @property
    def total(self) -> Float64:
        """Return the sum of all addends: the element is scale * atom + total."""
        return self.scale * self.shift + self.offset

    @property
    def is_plain(self) -> bool:
        """Return whether every element equals its atom, without a scale, a shift or an offset."""
        return bool(np.all((self.scale == 1) & (self.shift == 0) & (self.offset == 0)))

    def moved(
        self, function: Callable[[NDArray[Any]], NDArray[Any]], batch: int | None = None
    ) -> Symbol:
        """Apply `function`, which only moves elements about, to all four arrays."""
        return of_arrays(map(function, self.arrays), self.kind, batch)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        return self.atom, self.scale, self.shift, self.offset

    def part(self, *places: Any) -> Symbol:
        """Return the elements that numpy's indexing selects."""
        return self.moved(lambda array: array[places])

    def flat(self) -> Symbol:
        return self.moved(lambda array: array.reshape(-1))

    def scaled(self, factor: Any) -> Symbol:
        return self.mapped(factor, None)

    def mapped(self, factor: Any, addend: Any) -> Symbol:
        """Return factor * self + addend, constants that broadcast; None leaves out the operation.

        Raises:
            SymbolError: a constant that is not finite.
        """
        for constant in (factor, addend):
            if constant is not None and not np.isfinite(constant).all():
                raise SymbolError("a constant is NaN or infinite, or a division is by 0")
        result = self
        if factor is not None:
            scale, offset = result.scale * factor, result.offset * factor
            atom = np.where(scale == 0, NOTHING, result.atom)
            shift = np.where(scale == 0, 0.0, result.shift)
            result = replace(result, atom=atom, scale=scale, shift=shift, offset=offset)
        if addend is not None:
            first = (result.scale == 1) & (result.offset == 0) & ~result.constant
            shift = result.shift + np.where(first, addend, 0.0)
            offset = result.offset + np.where(first, 0.0, addend)
            result = replace(result, shift=shift, offset=offset)
        if not (np.isfinite(result.scale).all() and np.isfinite(result.offset).all()):
            raise SymbolError("constants together leave the range of numbers")
        return result


def of_arrays(
    arrays: Iterable[NDArray[Any]], kind: str = FLOAT, batch: int | None = None
) -> Symbol:
    """Make a symbol of its four arrays."""
    atom, scale, shift, offset = arrays
    return Symbol(atom, scale, shift, offset, kind, batch)


def constants(values: Any, kind: str = FLOAT) -> Symbol:
    """Make a symbol of constants."""
    array = np.asarray(values, np.float64)
    zero = np.zeros(array.shape)
    return Symbol(np.full(array.shape, NOTHING, np.int64), zero, zero, array, kind)


def with_kind(symbol: Symbol, kind: str) -> Symbol:
    return replace(symbol, kind=kind)


def broadcast(values: list[Symbol], most: int) -> list[Symbol]:
    """Broadcast all to their common shape, as ONNX does.

    Raises:
        SymbolError: shapes that do not fit, more than `most` elements, two batch dimensions.
    """
    shapes = [value.shape for value in values]
    shown = " and ".join(str(list(shape)) for shape in shapes)
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise SymbolError(f"values of the shapes {shown} do not fit together") from None
    if len(shape) > 8 or np.prod(shape, dtype=object) > most:
        raise SymbolError(f"the shapes {shown} give more than {most} values together")
    batches = {value.batch - value.ndim for value in values if value.batch is not None}
    if len(batches) > 1:
        raise SymbolError("it would mix the observations of a batch")
    batch = batches.pop() + len(shape) if batches else None
    if batch is not None and shape[batch] != 1:
        raise SymbolError("it would mix the observations of a batch")
    return [value.moved(lambda array: np.broadcast_to(array, shape), batch) for value in values]


def joined(values: list[Symbol], axis: int) -> Symbol:
    """Concatenate symbols as numpy.concatenate does."""
    arrays = zip(*(value.arrays for value in values), strict=True)
    parts = [np.concatenate(each, axis) for each in arrays]
    batches = [value.batch for value in values if value.batch is not None]
    return of_arrays(parts, values[0].kind, batches[0] if batches else None)


def ratio(first: Symbol, second: Symbol) -> Float64 | None:
    """k with first = k * second in every element; None if there is none.

    Both have the same shape.
    """
    if first.shape != second.shape or not np.array_equal(first.atom, second.atom):
        return None
    if first.constant.any():
        return None
    k = first.scale / second.scale
    return k if close(first.total, k * second.total).all() else None


SAME = 1e-9
"""Relative: float64's rounding of a few operations, far below float32's."""


def close(a: Any, b: Any, tolerance: float = SAME) -> NDArray[np.bool_]:
    """Return, for each element, whether two numbers are equal to within `tolerance`, relative to
    the larger."""
    return np.asarray(np.abs(np.subtract(a, b)) <= tolerance * np.maximum(np.abs(a), np.abs(b)))
