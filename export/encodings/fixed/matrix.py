"""A matrix in whole numbers: some rows of a layer, and the values that they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

UPPER = 8
"""Bits below the upper byte of a value."""


@dataclass(frozen=True)
class FixedMatrix:
    """weight x + bias, either shifted and cut off as values or as the sums themselves.

    Most layers are one matrix; one with recurrent units has several, because some of its neurons
    only pass on a value, and others read only some of the values.
    """

    name: str
    """Name of its tables and functions in C."""
    weight: Int
    """[rows, columns]."""
    bias: Int
    """[rows], including the half that rounds the shift after it."""
    is_shifted: bool
    """True if its values are its shifted sums; False if the sums are left unshifted."""
    is_relu: bool = False
    """True if shifted values below 0 become 0."""
    limit: int = 0
    """Greatest shifted value."""
    greatest: Int | None = None
    """[rows]: the greatest magnitude that a shifted sum can have before that."""
    column: int = 0
    """The first of the values that it reads."""
    row: int = 0
    """Index of its first value among the layer's, or of its first sum among the sums."""
    reads_upper: bool = False
    """True if it reads the upper byte of each value alone, x >> 8; its biases then include half of
    a step of that, which on average is what the lower byte adds."""

    @property
    def rows(self) -> int:
        return len(self.bias)

    @property
    def columns(self) -> int:
        return int(self.weight.shape[1])

    @property
    def lowest(self) -> int:
        """Return the least shifted value."""
        return 0 if self.is_relu else -self.limit

    def reads(self, aligned: int = 1) -> str:
        """Return, as C, the array {x} from the first value on that it reads; `aligned`: from a
        multiple of it."""
        return offset("{x}", self.column // aligned * aligned)

    def sums(self, x: Int) -> Int:
        """Return [rows, batch] for [values of the layer before, batch]."""
        taken = x[self.column : self.column + self.columns]
        taken = taken >> UPPER if self.reads_upper else taken
        return np.asarray(self.weight @ taken + self.bias[:, None], np.int64)

    def shifted(self, x: Int, shift: int) -> Int:
        """Return the values, [rows, batch]."""
        return np.asarray(np.clip(self.sums(x) >> shift, self.lowest, self.limit), np.int64)


def offset(array: str, start: int) -> str:
    """Return an array from an element on, as C."""
    return f"{array} + {start}" if start else array


def by_what_they_read(
    matrices: Sequence[FixedMatrix],
) -> tuple[list[FixedMatrix], dict[int, int]]:
    """Return matrices so that those which read the same values follow one another, and the new
    place of each one's first sum by the old one."""
    sums = [each for each in matrices if not each.is_shifted]
    keys = [(each.column, each.columns, each.reads_upper) for each in sums]
    ordered = sorted(zip(keys, sums, strict=True), key=lambda pair: keys.index(pair[0]))
    found, places, row = [each for each in matrices if each.is_shifted], {}, 0
    for _, each in ordered:
        found.append(replace(each, row=row))
        places[each.row] = row
        row += each.rows
    return found, places


def joined(matrices: Sequence[FixedMatrix]) -> list[FixedMatrix]:
    """Join matrices that follow one another, read the same values and do not shift their sums."""
    result: list[FixedMatrix] = []
    for each in matrices:
        last = result[-1] if result else None
        if (
            last is not None
            and not last.is_shifted
            and not each.is_shifted
            and (last.column, last.columns) == (each.column, each.columns)
            and last.reads_upper == each.reads_upper
        ):
            result[-1] = replace(
                last,
                weight=np.concatenate([last.weight, each.weight]),
                bias=np.concatenate([last.bias, each.bias]),
            )
        else:
            result.append(each)
    return result
