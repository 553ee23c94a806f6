"""The last layer of a recurrent policy as floats: its sums, and values that it only hands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.fixed import curve
from sparsectl.export.encodings.fixed.matrix import Int, offset
from sparsectl.policy.activations import Float32

FRACTION_BITS = 23
"""Number of bits of a float32 below those of its exponent."""

UNIT_SOURCE = """\
/* Values as floats, each a multiple of 2^-exponent, whose place among a float's bits is `less`. */
static void in_units(const {{value}} *x, uint32_t less, float *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        y[i] = x[i] == 0 ? 0.0f : float_of(bits_of((float)x[i]) - less);
    }
}
"""


class FloatStep(Protocol):
    """Computes floats from the sums of the last layer and the values that it reads."""

    @property
    def row(self) -> int:
        """Return the index of its first value among the layer's."""

    @property
    def has_tanh(self) -> bool:
        """Return whether its C reads the table of tanh."""

    def moved(self, places: Mapping[int, int]) -> FloatStep:
        """Return it for sums at other places, as `Step` does."""

    def floats(self, sums: Int, x: Int) -> Float32:
        """Return its values for [sums, batch] and the values before, [values, batch]."""

    def functions(self, value_type: str, style: CStyle) -> list[str]:
        """Return the C functions that it calls."""

    def lines(self, x: str, style: CStyle) -> list[str]:
        """Return the statements, from the arrays `sums` and x to `values`."""


@dataclass(frozen=True)
class CarryFloats:
    """Values that are handed on: multiples of 2^-exponent as floats."""

    row: int
    column: int
    count: int
    exponent: int
    has_tanh = False

    def moved(self, places: Mapping[int, int]) -> CarryFloats:
        return self

    def floats(self, sums: Int, x: Int) -> Float32:
        taken = x[self.column : self.column + self.count].astype(np.float32)
        return np.asarray(taken * np.float32(2.0**-self.exponent), np.float32)

    def functions(self, value_type: str, style: CStyle) -> list[str]:
        return [style.render(UNIT_SOURCE, value=value_type)]

    def lines(self, x: str, style: CStyle) -> list[str]:
        source, target = offset(x, self.column), offset("values", self.row)
        less = f"{self.exponent << FRACTION_BITS:#x}u"
        return [f"in_units({source}, {less}, {target}, {self.count});"]


@dataclass(frozen=True)
class SumFloats:
    """Sums at the end, multiples of 2^-exponent; through tanh in whole numbers or as they are."""

    row: int
    start: int
    exponent: tuple[int, ...]
    has_tanh: bool

    def moved(self, places: Mapping[int, int]) -> SumFloats:
        return replace(self, start=places[self.start])

    def floats(self, sums: Int, x: Int) -> Float32:
        own = sums[self.start : self.start + len(self.exponent)]
        exponent = np.array(self.exponent)[:, None]
        if not self.has_tanh:
            unit = np.exp2(-exponent.astype(np.float32))
            return np.asarray(own.astype(np.float32) * unit, np.float32)
        values = curve.tanh(own >> (exponent - curve.INPUT_BITS))
        one = np.float32(2.0**-curve.OUTPUT_BITS)
        return np.asarray(values.astype(np.float32) * one, np.float32)

    def functions(self, value_type: str, style: CStyle) -> list[str]:
        if not self.has_tanh:
            return []
        return [style.render(curve.CURVE_SOURCE, end=curve.END), curve.TANH_SOURCE]

    def lines(self, x: str, style: CStyle) -> list[str]:
        lines = []
        for index, exponent in enumerate(self.exponent):
            value, unit = f"sums[{self.start + index}]", style.literal(2.0**-exponent)
            if self.has_tanh:
                value = f"fixed_tanh({value} >> {exponent - curve.INPUT_BITS})"
                unit = style.literal(2.0**-curve.OUTPUT_BITS)
            lines.append(f"values[{self.row + index}] = (float){value} * {unit};")
        return lines


def parted(
    ends: Sequence[FloatStep], actions: int | None
) -> tuple[list[FloatStep], list[CarryFloats]]:
    """Return the steps that make the actions, and those that hand the state on in whole numbers.

    actions: number of actions, which come before the state; None: the state is of floats.
    """
    made: list[FloatStep] = []
    kept: list[CarryFloats] = []
    for end in ends:
        if actions is None or not isinstance(end, CarryFloats):
            made.append(end)
            continue
        before = min(max(actions - end.row, 0), end.count)
        if before:
            made.append(replace(end, count=before))
        if before < end.count:
            left = end.count - before
            kept.append(replace(end, row=end.row + before, column=end.column + before, count=left))
    return made, kept
