"""AVR assembly of dense rows: up to six rows of bytes, or four of 16 bits, a column at a time.

The sums of a group of rows stay in registers while their columns pass: a column's value is loaded
once for all of them. The table in flash has the order in which it is read: for each group the
number of its turns of two columns, its biases, and its weights column by column, so that one
pointer runs through all matrices of a layer and no row or column is filled up with zeros.

A weight of 8 bits takes 13 cycles, 9 where it is multiplied by the upper byte of a value alone, one
of 16 bits 27; a column 6 more for its group. A sum has three or four bytes while it is computed:
the weights' scales keep it from needing more. A signed byte times an unsigned one (MULSU) has its
sign in the carry, from where it goes to the bytes above.

Cycles: AVR Instruction Set Manual (DS40002198), the tables of LPM, LD, MUL and ADD.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_stream import CONDITION
from sparsectl.export.encodings.fixed.matrix import FixedMatrix

MOST_COLUMNS: Final = 510
"""The most columns: turns of two are counted in a byte."""
BYTE_SUM_BITS: Final = 24
"""Number of bits of a sum of weights of 8 bits while it is computed, its sign included."""

_SAVED: Final = (*range(2, 18), 28, 29)
"""The registers that a function has to leave as they were: avr-gcc's calling convention."""
_COLUMN_CYCLES: Final = 6


@dataclass(frozen=True)
class _Form:
    """The registers and the costs of one width of the weights."""

    weight_bytes: int
    sum_bytes: int
    sums: tuple[int, ...]
    """The registers of the greatest group's sums, a sum's bytes after one another."""
    groups: tuple[int, ...]
    """Numbers of rows that are computed at a time; 1 is among them."""
    weight_cycles: int
    low: int
    """The register of the low byte of a value; the high one is the next."""
    sign: int
    count: int


_FORMS: Final = {
    1: _Form(1, 3, (*range(2, 16), 22, 23, 24, 25), (6, 4, 1), 13, 17, 19, 20),
    2: _Form(2, 4, (*range(2, 16), 24, 25), (4, 2, 1), 27, 18, 20, 21),
}


@dataclass(frozen=True)
class Layer:
    """Matrices of one layer whose sums follow one another from the first on."""

    name: str
    """Of the function, without the prefix."""
    matrices: tuple[FixedMatrix, ...]
    is_packed: bool = False
    """True if the sums are stored in as many bytes as they are computed with, for assembly to read;
    False if each is an int32_t."""


def assembly(layers: Sequence[Layer], weight_bytes: int, style: CStyle) -> str:
    """Return policy.S with a function for each layer, `void policy_NAME(const int16_t *x, int32_t
    *sums)`.

    weight_bytes: 1 or 2.
    """
    form = _FORMS[weight_bytes]
    groups = {
        _Group(size, layer.is_packed, each.reads_upper)
        for layer in layers
        for each in layer.matrices
        for size in grouped(each.rows, form)
    }
    functions = [_function(layer, form, style) for layer in layers]
    return style.render(
        _TEMPLATE,
        condition=style.render(CONDITION),
        bits=8 * weight_bytes,
        groups="".join(each.code(form, style) for each in sorted(groups, reverse=True)),
        functions="".join(functions),
        tables="".join(_table(layer, form, style) for layer in layers),
    )


def packed_bytes(weight_bytes: int) -> int:
    """Return the bytes of a packed sum."""
    return _FORMS[weight_bytes].sum_bytes


def grouped(rows: int, form: _Form) -> tuple[int, ...]:
    """Return the sizes of the groups of rows that take the least time, the largest first."""

    @cache
    def best(left: int) -> tuple[int, tuple[int, ...]]:
        if not left:
            return 0, ()
        tried = []
        for size in form.groups:
            if size <= left:
                cycles, others = best(left - size)
                cycles += size * form.weight_cycles + _COLUMN_CYCLES
                tried.append((cycles, (size, *others)))
        return min(tried, key=lambda each: each[0])

    for each in range(rows):  # from below, so that Python need not recurse far
        best(each)
    return tuple(sorted(best(rows)[1], reverse=True))


@dataclass(frozen=True, order=True)
class _Group:
    """The subroutine for a group of rows."""

    rows: int
    is_packed: bool
    reads_upper: bool

    def name(self, style: CStyle) -> str:
        of = "_of_bytes" if self.reads_upper else ""
        return f".L{style.prefix}_{self.rows}_rows{of}" + ("_packed" if self.is_packed else "")

    def code(self, form: _Form, style: CStyle) -> str:
        """Return it: sums from Z and X to Y."""
        used = form.sums[: self.rows * form.sum_bytes]
        by_row = [used[at : at + form.sum_bytes] for at in range(0, len(used), form.sum_bytes)]
        value = [f"ld r{form.low}, X+", f"ld r{form.low + 1}, X+"]
        product = _word_product if form.weight_bytes == 2 else _byte_product
        product = _upper_product if self.reads_upper else product
        column = lines([*value, *(line for row in by_row for line in product(form, row))])
        return style.render(
            _GROUP,
            name=self.name(style),
            biases=lines(f"lpm r{register}, Z+" for register in used),
            column=column,
            count=f"r{form.count}",
            stores=lines(line for row in by_row for line in _store(form, row, self.is_packed)),
        )


def _byte_product(form: _Form, row: Sequence[int]) -> Iterator[str]:
    """Yield the instructions that add the product of a weight, r16, and the column's value."""
    low, middle, high = (f"r{register}" for register in row)
    sign = f"r{form.sign}"
    yield "lpm r16, Z+"
    yield from (f"mulsu r16, r{form.low}", f"sbc {sign}, {sign}")
    yield from (f"add {low}, r0", f"adc {middle}, r1", f"adc {high}, {sign}")
    yield from (f"muls r16, r{form.low + 1}", f"add {middle}, r0", f"adc {high}, r1")


def _upper_product(form: _Form, row: Sequence[int]) -> Iterator[str]:
    """Yield the instructions that add the product of a weight, r16, and the value's upper byte."""
    low, middle, high = (f"r{register}" for register in row)
    sign = f"r{form.sign}"
    yield "lpm r16, Z+"
    yield from (f"muls r16, r{form.low + 1}", f"sbc {sign}, {sign}")
    yield from (f"add {low}, r0", f"adc {middle}, r1", f"adc {high}, {sign}")


def _word_product(form: _Form, row: Sequence[int]) -> Iterator[str]:
    """Yield the instructions that add the product of a weight, r17:r16, and the column's value:
    those of the two upper and of the two lower bytes make 32 bits together, the two others are each
    of an upper byte, which has the sign, and a lower one."""
    sums = [f"r{register}" for register in row]
    low, high, sign = f"r{form.low}", f"r{form.low + 1}", f"r{form.sign}"
    yield from ("lpm r16, Z+", "lpm r17, Z+")
    yield from (f"muls r17, {high}", "movw r22, r0", f"mul r16, {low}")
    yield from (f"add {sums[0]}, r0", f"adc {sums[1]}, r1")
    yield from (f"adc {sums[2]}, r22", f"adc {sums[3]}, r23")
    for signed, other in (("r17", low), (high, "r16")):
        yield from (f"mulsu {signed}, {other}", f"sbc {sign}, {sign}")
        yield from (f"add {sums[1]}, r0", f"adc {sums[2]}, r1", f"adc {sums[3]}, {sign}")


def _store(form: _Form, row: Sequence[int], is_packed: bool) -> Iterator[str]:
    """Yield the instructions that store a sum, unless packed as one of 32 bits."""
    yield from (f"st Y+, r{register}" for register in row)
    if form.sum_bytes == 3 and not is_packed:
        sign = f"r{form.sign}"
        yield from (f"lsl r{row[-1]}", f"sbc {sign}, {sign}", f"st Y+, {sign}")


def _function(layer: Layer, form: _Form, style: CStyle) -> str:
    body: list[str] = []
    is_narrow = form.sum_bytes == 3
    at = 0  # the column to which X points
    for matrix in layer.matrices:
        body += _moved("r26", "r27", 2 * (matrix.column - at))
        body.append("set" if matrix.columns % 2 else "clt")
        at = matrix.column
        for size in grouped(matrix.rows, form):
            group = _Group(size, layer.is_packed, matrix.reads_upper)
            body.append(f"rcall {group.name(style)}")
            body += _moved("r26", "r27", -2 * matrix.columns)
    return style.render(
        _FUNCTION,
        name=style.name(layer.name),
        packed=", whose sums have three bytes each" if layer.is_packed and is_narrow else "",
        push=lines(f"push r{register}" for register in _SAVED),
        body=lines(body),
        pop=lines(f"pop r{register}" for register in reversed(_SAVED)),
    )


def _moved(low: str, high: str, by: int) -> list[str]:
    """Return the instructions that add a constant to a pointer."""
    return [f"subi {low}, lo8({-by})", f"sbci {high}, hi8({-by})"] if by else []


def _table(layer: Layer, form: _Form, style: CStyle) -> str:
    numbers: list[int] = []
    for matrix in layer.matrices:
        row = 0
        for size in grouped(matrix.rows, form):
            part = slice(row, row + size)
            numbers.append((matrix.columns + 1) // 2)
            numbers += _bytes(matrix.bias[part], form.sum_bytes)
            numbers += _bytes(matrix.weight[part].T, form.weight_bytes)
            row += size
    shown = [", ".join(map(str, numbers[at : at + 20])) for at in range(0, len(numbers), 20)]
    rows = "".join(f"    .byte {row}\n" for row in shown)
    return f"{style.name(layer.name)}_table:\n{rows}"


def _bytes(values: np.ndarray, size: int) -> list[int]:
    """Return the lower bytes of whole numbers, the lowest first."""
    found = values.reshape(-1, 1) >> np.arange(0, 8 * size, 8) & 0xFF
    return [int(each) for each in found.reshape(-1)]


def lines(instructions: Iterable[str]) -> str:
    """Return instructions as lines of assembly."""
    return "".join(f"    {instruction}\n" for instruction in instructions)


_TEMPLATE: Final = """\
#if {{condition}}

/* Dense rows of {{bits}}-bit weights. Z runs through a layer's table, X through the values and Y \
through the
 * sums. A group of rows begins with its number of turns of two columns; the first turn of an odd
 * number of columns, for which T is set, is a half. */
    .text
{{groups}}{{functions}}
    .section .progmem.data, "a", @progbits
{{tables}}    .balign 2

#endif
"""

_GROUP: Final = """\

{{name}}:
    lpm {{count}}, Z+
{{biases}}    brtc 1f
    rjmp 2f
1:
{{column}}2:
{{column}}    dec {{count}}
    breq 3f
    rjmp 1b
3:
{{stores}}    ret
"""

_FUNCTION: Final = """\

/* void {{name}}(const int16_t *x, int32_t *sums){{packed}} */
    .global {{name}}
    .type {{name}}, @function
{{name}}:
{{push}}    movw r26, r24
    movw r28, r22
    ldi r30, lo8({{name}}_table)
    ldi r31, hi8({{name}}_table)
{{body}}    clr r1
{{pop}}    ret
    .size {{name}}, . - {{name}}
"""
