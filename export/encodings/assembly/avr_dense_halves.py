"""AVR assembly of dense rows of 16 bits: two rows by four columns in a turn, 30 cycles a weight.

The product of a weight and a value is the sum of four products of bytes. Those of the two upper
bytes and of the two lower bytes make 32 bits together; the two others are each of an upper byte,
which has the sign, and a lower one.

Cycles: AVR Instruction Set Manual (DS40002198), the tables of LPM, LD, MUL and ADD.
"""

from __future__ import annotations

from collections.abc import Iterator

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_rows import lines, rows_function

_SUMS, _VALUES = 2, 10
_REGISTERS = """\
two sums are in r2 to r9, four values in r10 to
 * r17; r22 is a quarter of the columns, r23 counts; where the group's weights begin and the groups
 * left are on the stack. T is set in the second half of a group."""


def assembly(style: CStyle) -> str:
    """Return policy.S with `policy_rows`, which adds four rows of 16 bits a group to their sums."""
    products = [line for row in range(2) for column in range(4) for line in _product(row, column)]
    body = style.render(
        _BODY,
        loads=lines(f"ldd r{_SUMS + byte}, Y+{byte}" for byte in range(8)),
        values=lines(f"ld r{_VALUES + byte}, X+" for byte in range(8)),
        products=lines(products),
        stores=lines(f"st Y+, r{_SUMS + byte}" for byte in range(8)),
    )
    return rows_function(style, weight="int16_t", registers=_REGISTERS, quarter="r22", body=body)


def _product(row: int, column: int) -> Iterator[str]:
    """Yield the instructions that add the product of a weight, r21:r20, and a value, r19:r18."""
    sums = [f"r{_SUMS + 4 * row + byte}" for byte in range(4)]
    yield from ("lpm r20, Z+", "lpm r21, Z+", f"movw r18, r{_VALUES + 2 * column}")
    yield from ("muls r21, r19", "movw r24, r0", "mul r20, r18")
    yield from (f"add {sums[0]}, r0", f"adc {sums[1]}, r1")
    yield from (f"adc {sums[2]}, r24", f"adc {sums[3]}, r25")
    for signed, other in (("r21", "r18"), ("r19", "r20")):
        yield from (f"mulsu {signed}, {other}", "sbc r24, r24")
        yield from (f"add {sums[1]}, r0", f"adc {sums[2]}, r1", f"adc {sums[3]}, r24")


_BODY = """\
1:  push r20
    push r30
    push r31
    clt
2:
{{loads}}    mov r23, r22
3:
{{values}}{{products}}    adiw r30, 16        /* past the group's other rows */
    dec r23
    breq 4f
    rjmp 3b
4:
{{stores}}    ldi r20, 8
    mul r22, r20
    sub r26, r0
    sbc r27, r1
    brts 5f
    set
    pop r31
    pop r30
    adiw r30, 16
    rjmp 2b
5:  sbiw r30, 16
    pop r20
    dec r20
    breq 6f
    rjmp 1b
6:  clr r1
"""
