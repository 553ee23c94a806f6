"""Steps that compute the values of a layer with recurrent units from its sums, in whole numbers.

Gates are sigmoid(x) = (1 + tanh(x / 2)) / 2 by the table of `fixed.curve`, so a gate is a multiple
of 2^-16 over 0 and under 1. A unit's state and result are multiples of the same power of two, and
their mean by a gate is rounded to the nearest, so that a gate next to 1 holds a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.fixed import curve
from sparsectl.export.encodings.fixed.matrix import Int, offset

GATE_BITS = 16
"""A gate is a multiple of 2^-16."""
MOST_BITS = curve.OUTPUT_BITS
"""Bits of a unit's result without its sign."""

CARRY_SOURCE = """\
/* Values that a layer only hands on. */
static void hand_on(const {{value}} *x, {{value}} *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        y[i] = x[i];
    }
}
"""


@dataclass(frozen=True)
class Operand:
    """A run of numbers that a cell takes, one per unit."""

    name: str
    """Name of a number in C."""
    start: int
    """Index of the first, among the layer's sums or among the values that the layer reads."""
    is_value: bool
    """True if it is among the values that the layer reads."""
    drop: int
    """Bits by which it is shifted right into the cell's form; left if negative."""
    bits: int = 32
    """The most bits of a number in the cell's form, its sign included."""
    added: Operand | None = None
    """A run of sums that is added to it, of `bits` too."""

    def of(self, sums: Int, x: Int, units: int) -> Int:
        source = x if self.is_value else sums
        own = shifted(source[self.start : self.start + units], self.drop)
        return own + self.added.of(sums, x, units) if self.added else own

    @property
    def c_value(self) -> str:
        if self.added:
            return f"({replace(self, added=None).c_value}) + ({self.added.c_value})"
        index = f"{self.start} + i" if self.start else "i"
        array = f"x[{index}]" if self.is_value else f"sum[{index}]"
        if self.drop > 0:
            return f"{array} >> {self.drop}"
        return f"(int32_t){array} * {2**-self.drop}" if self.drop else array

    def moved(self, places: Mapping[int, int]) -> Operand:
        """Return it with its sums at other places: the new one of a run's first sum by the old."""
        if self.is_value:
            return self
        added = self.added.moved(places) if self.added else None
        return replace(self, start=places[self.start], added=added)

    @property
    def runs(self) -> list[Operand]:
        """Return it and what is added to it, each by itself."""
        return [replace(self, added=None), *(self.added.runs if self.added else [])]


def shifted(values: Int, drop: int) -> Int:
    """Shift bits to the right, or to the left if `drop` is negative."""
    return np.asarray(values >> drop if drop >= 0 else values * 2**-drop, np.int64)


class Step(Protocol):
    """Computes values of a hidden layer from its sums and from the values that it reads."""

    @property
    def row(self) -> int:
        """Return the index of its first value among the layer's."""

    @property
    def has_tanh(self) -> bool:
        """Return whether its C reads the table of tanh."""

    def moved(self, places: Mapping[int, int]) -> Step:
        """Return it for sums at other places: those of matrices' first sums by the old ones."""

    def values(self, sums: Int, x: Int) -> Int:
        """Return its values for [sums, batch] and the values before, [values, batch]."""

    def functions(self, value_type: str, style: CStyle) -> list[str]:
        """Return the C functions that it calls."""

    def call(self, x: str, y: str) -> str:
        """Return the statement, from the arrays `sums` and x to y."""


@dataclass(frozen=True)
class Carry:
    """Values that are handed on, exactly."""

    row: int
    column: int
    count: int
    has_tanh = False

    def moved(self, places: Mapping[int, int]) -> Carry:
        return self

    def values(self, sums: Int, x: Int) -> Int:
        return x[self.column : self.column + self.count]

    def functions(self, value_type: str, style: CStyle) -> list[str]:
        return [style.render(CARRY_SOURCE, value=value_type)]

    def call(self, x: str, y: str) -> str:
        return f"hand_on({offset(x, self.column)}, {offset(y, self.row)}, {self.count});"


@dataclass(frozen=True)
class Cell:
    """Recurrent units: results that are multiples of 2^-exponent, cut off at ±limit."""

    has_tanh = True
    kind: str
    """Name of the activation."""
    name: str
    """Name of its function in C."""
    row: int
    units: int
    operands: tuple[Operand, ...]
    exponent: int
    limit: int
    cuts_off: bool
    """True if a result can exceed the limit and must be cut off."""
    is_narrow: bool
    """True if the values that gates multiply fit 16 bits."""
    recurrent_bits: int = curve.INPUT_BITS
    """For `gru`: the value before the reset gate is a multiple of 2^-recurrent_bits."""

    def moved(self, places: Mapping[int, int]) -> Cell:
        return replace(self, operands=tuple(each.moved(places) for each in self.operands))

    def stays_within(self, limit: int) -> bool:
        """Return whether no result exceeds a limit that the state before did not exceed."""
        is_mean = self.kind in ("gru", "gru_update")
        return is_mean and limit >= min(2**self.exponent, 2**MOST_BITS - 1)

    def values(self, sums: Int, x: Int) -> Int:
        taken = [operand.of(sums, x, self.units) for operand in self.operands]
        found = _FORWARD[self.kind](self, *taken)
        return np.asarray(np.clip(found, -self.limit, self.limit), np.int64)

    def functions(self, value_type: str, style: CStyle) -> list[str]:
        arrays = ["const int32_t *sum"] if any(not o.is_value for o in self.operands) else []
        if any(operand.is_value for operand in self.operands):
            arrays.append(f"const {value_type} *x")
        taken = [f"const int32_t {operand.name} = {operand.c_value};" for operand in self.operands]
        own = style.render(
            _FUNCTION,
            name=self.name,
            arrays=", ".join([*arrays, f"{value_type} *y"]),
            units=self.units,
            lines=[*taken, *_C_LINES[self.kind](self)],
            result=_CUT_OFF.format(limit=self.limit) if self.cuts_off else "result",
            value=value_type,
        )
        lines = " ".join(_C_LINES[self.kind](self))
        called = {"fixed_tanh": curve.TANH_SOURCE, "fixed_gate": curve.GATE_SOURCE}
        needed = [text for name, text in called.items() if name in lines]
        return [style.render(curve.CURVE_SOURCE, end=curve.END), *needed, own]

    def call(self, x: str, y: str) -> str:
        arrays = ["sums"] if any(not o.is_value for o in self.operands) else []
        arrays += [x] if any(operand.is_value for operand in self.operands) else []
        return f"{self.name}({', '.join([*arrays, offset(y, self.row)])});"

    @property
    def mean_bits(self) -> int:
        """Return the bits of the gate in a mean: all, if the product has room for them."""
        return GATE_BITS if self.is_narrow else GATE_BITS - 1

    @property
    def fresh_drop(self) -> int:
        """Return the shift from tanh to the units' results."""
        return curve.OUTPUT_BITS - self.exponent

    @property
    def gated_drop(self) -> int:
        """Return the shift from the product of a gate and its value to the argument of tanh."""
        return GATE_BITS + self.recurrent_bits - curve.INPUT_BITS


_FUNCTION = """\
static void {{name}}({{arrays}})
{
    for (unsigned i = 0; i < {{units}}; i++) {
{% for line in lines %}
        {{line}}
{% endfor %}
        y[i] = ({{value}}){{result}};
    }
}
"""

_CUT_OFF = "(result > {limit} ? {limit} : (result < -{limit} ? -{limit} : result))"


def _nearest(value: Int, bits: int) -> Int:
    return (value + (1 << bits >> 1)) >> bits


def _nearest_c(value: str, bits: int) -> str:
    return f"({value} + {1 << bits >> 1}) >> {bits}" if bits else value


def _by_gate(cell: Cell, opened: Int, value: Int) -> Int:
    """Return sigmoid(opened) value, rounded to the nearest."""
    return _nearest((curve.gate(opened) >> GATE_BITS - cell.mean_bits) * value, cell.mean_bits)


def _gru(cell: Cell, reset: Int, update: Int, fresh: Int, recurrent: Int, state: Int) -> Int:
    gated = (curve.gate(reset) * recurrent) >> cell.gated_drop
    return _gru_update(cell, update, fresh + gated, state)


def _gru_update(cell: Cell, update: Int, fresh: Int, state: Int) -> Int:
    new = _nearest(curve.tanh(fresh), cell.fresh_drop)
    return new + _by_gate(cell, update, state - new)


def _gated_product(cell: Cell, opened: Int, value: Int) -> Int:
    return _by_gate(cell, opened, value)


def _lstm_cell(cell: Cell, taken: Int, forget: Int, fresh: Int, state: Int) -> Int:
    kept = _by_gate(cell, forget, state)
    added = (curve.gate(taken) >> 1) * curve.tanh(fresh)
    return kept + _nearest(added, GATE_BITS - 1 + cell.fresh_drop)


def _lstm_output(cell: Cell, output: Int, state: Int) -> Int:
    found = (curve.gate(output) >> 1) * curve.tanh(state)
    return _nearest(found, GATE_BITS - 1 + cell.fresh_drop)


def _tanh(cell: Cell, fresh: Int) -> Int:
    return _nearest(curve.tanh(fresh), cell.fresh_drop)


_FORWARD: dict[str, Callable[..., Int]] = {
    "tanh": _tanh,
    "gru": _gru,
    "gru_update": _gru_update,
    "gated_product": _gated_product,
    "lstm_cell": _lstm_cell,
    "lstm_output": _lstm_output,
}


def _by_gate_c(cell: Cell, opened: str, value: str) -> str:
    product = f"{_half_gate(opened)} * ({value})"
    if cell.is_narrow:
        product = f"(int32_t)fixed_gate({opened}) * (int16_t)({value})"
    return _nearest_c(product, cell.mean_bits)


def _half_gate(name: str) -> str:
    return f"(int32_t)(fixed_gate({name}) >> 1)"


def _fresh_lines(cell: Cell, argument: str) -> list[str]:
    """Return the C of tanh in the units' form, in 16 bits."""
    if not cell.fresh_drop:
        return [f"const int16_t fresh = fixed_tanh({argument});"]
    drop = cell.fresh_drop
    rounded = (
        f"(whole >> {drop}) + ((whole >> {drop - 1}) & 1)"
        if drop > 1
        else ("(whole >> 1) + (whole & 1)")
    )
    return [
        f"const int16_t whole = fixed_tanh({argument});",
        f"const int16_t fresh = (int16_t)({rounded});",
    ]


def _update_lines(cell: Cell, fresh: str) -> list[str]:
    return [
        *_fresh_lines(cell, fresh),
        f"const int32_t moved = {_by_gate_c(cell, 'update', 'state - fresh')};",
        "const int32_t result = fresh + moved;",
    ]


def _gru_lines(cell: Cell) -> list[str]:
    product = "(int32_t)fixed_gate(reset) * (int16_t)recurrent"
    gated = f"const int32_t gated = ({product}) >> {cell.gated_drop};"
    return [gated, *_update_lines(cell, "input + gated")]


def _product_lines(cell: Cell) -> list[str]:
    return [f"const int32_t result = {_by_gate_c(cell, 'opened', 'value')};"]


def _lstm_cell_lines(cell: Cell) -> list[str]:
    kept = _by_gate_c(cell, "forget", "state")
    added = f"{_half_gate('taken')} * fixed_tanh(input)"
    return [
        f"const int32_t kept = {kept};",
        f"const int32_t added = {_nearest_c(added, GATE_BITS - 1 + cell.fresh_drop)};",
        "const int32_t result = kept + added;",
    ]


def _lstm_output_lines(cell: Cell) -> list[str]:
    found = f"{_half_gate('output')} * fixed_tanh(state)"
    return [f"const int32_t result = {_nearest_c(found, GATE_BITS - 1 + cell.fresh_drop)};"]


def _tanh_lines(cell: Cell) -> list[str]:
    return [*_fresh_lines(cell, "input"), "const int32_t result = fresh;"]


_C_LINES: dict[str, Callable[[Cell], list[str]]] = {
    "tanh": _tanh_lines,
    "gru": _gru_lines,
    "gru_update": lambda cell: _update_lines(cell, "input"),
    "gated_product": _product_lines,
    "lstm_cell": _lstm_cell_lines,
    "lstm_output": _lstm_output_lines,
}
