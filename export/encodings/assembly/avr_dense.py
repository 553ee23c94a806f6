"""AVR assembly of dense rows of bytes: four rows by four columns in a turn, 14 cycles a weight.

A sum has three bytes while it is computed: the weights' scales keep it from needing more. A weight
times the low byte of a value is signed by unsigned (MULSU), whose sign goes to the third byte;
times the high byte it is signed by signed (MULS).

Cycles: AVR Instruction Set Manual (DS40002198), the tables of LPM, LD, MUL and ADD.
"""

from __future__ import annotations

from collections.abc import Iterator

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_rows import lines, rows_function
from sparsectl.export.encodings.assembly.avr_stream import CONDITION

__all__ = ["CONDITION", "MOST", "SUM_BITS", "assembly"]

MOST = 1020
"""The most rows or columns: groups of four are counted in a byte."""
SUM_BITS = 24
"""Number of bits of a sum while it is computed, its sign included."""

_FIRST_SUM = 2
_LOW, _HIGH = 16, 22  # the registers of the bytes of four values
_REGISTERS = """\
three bytes of each of four sums are in r2 to
 * r13, the low bytes of four values in r16 to r19, the high ones in r22 to r25; r14 is a quarter of
 * the columns, r15 counts; the groups left are on the stack."""
_BYTES = (0, 2, 1, 3)  # the order of a row's columns in the table


def assembly(style: CStyle) -> str:
    """Return policy.S with `policy_rows`, which adds groups of four rows of bytes to their sums."""
    loads = [f"ldd r{_sum(row, byte)}, Y+{4 * row + byte}" for row in range(4) for byte in range(3)]
    values = [f"ld r{first + column}, X+" for column in range(4) for first in (_LOW, _HIGH)]
    products = [line for row in range(4) for column in _BYTES for line in _product(row, column)]
    stores = [line for row in range(4) for line in _store(row)]
    body = style.render(
        _BODY,
        loads=lines(loads),
        values=lines(values),
        products=lines(products),
        stores=lines(stores),
    )
    return rows_function(style, weight="int8_t", registers=_REGISTERS, quarter="r14", body=body)


def _sum(row: int, byte: int) -> int:
    return _FIRST_SUM + 3 * row + byte


def _product(row: int, column: int) -> Iterator[str]:
    low, middle, high = (f"r{_sum(row, byte)}" for byte in range(3))
    yield "lpm r20, Z+"
    yield from (f"mulsu r20, r{_LOW + column}", "sbc r21, r21")
    yield from (f"add {low}, r0", f"adc {middle}, r1", f"adc {high}, r21")
    yield from (f"muls r20, r{_HIGH + column}", f"add {middle}, r0", f"adc {high}, r1")


def _store(row: int) -> Iterator[str]:
    """Yield the instructions that store a sum of 24 bits as one of 32."""
    for byte in range(3):
        yield f"std Y+{4 * row + byte}, r{_sum(row, byte)}"
    yield from (f"lsl r{_sum(row, 2)}", "sbc r21, r21", f"std Y+{4 * row + 3}, r21")


_BODY = """\
1:  push r20
{{loads}}    mov r15, r14
2:
{{values}}{{products}}    dec r15
    breq 3f
    rjmp 2b
3:
{{stores}}    adiw r28, 16
    ldi r20, 8
    mul r14, r20
    sub r26, r0
    sbc r27, r1
    pop r20
    dec r20
    breq 4f
    rjmp 1b
4:  clr r1
"""
