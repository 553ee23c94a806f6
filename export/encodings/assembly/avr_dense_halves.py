"""AVR assembly of dense rows of 16 bits: two rows by four columns in a turn, 30 cycles a weight.

Four products of bytes make one of a weight and a value: of the upper bytes and of the lower ones
together 32 bits, and two of an upper byte, which has the sign, and a lower one.

Cycles: AVR Instruction Set Manual (DS40002198), the tables of LPM, LD, MUL and ADD.
"""

from __future__ import annotations

from collections.abc import Iterator

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_stream import CONDITION

_SUMS, _VALUES = 2, 10
_SAVED = (*range(2, 18), 28, 29)


def assembly(style: CStyle) -> str:
    """policy_rows: as many times four rows as are wanted."""
    products = [line for row in range(2) for column in range(4) for line in _product(row, column)]
    return style.render(
        _TEMPLATE,
        condition=style.render(CONDITION),
        push=_lines(f"push r{register}" for register in _SAVED),
        loads=_lines(f"ldd r{_SUMS + byte}, Y+{byte}" for byte in range(8)),
        values=_lines(f"ld r{_VALUES + byte}, X+" for byte in range(8)),
        products=_lines(products),
        stores=_lines(f"st Y+, r{_SUMS + byte}" for byte in range(8)),
        pop=_lines(f"pop r{register}" for register in reversed(_SAVED)),
    )


def _product(row: int, column: int) -> Iterator[str]:
    """The weight is r21:r20, the value r19:r18."""
    sums = [f"r{_SUMS + 4 * row + byte}" for byte in range(4)]
    yield from ("lpm r20, Z+", "lpm r21, Z+", f"movw r18, r{_VALUES + 2 * column}")
    yield from ("muls r21, r19", "movw r24, r0", "mul r20, r18")
    yield from (f"add {sums[0]}, r0", f"adc {sums[1]}, r1")
    yield from (f"adc {sums[2]}, r24", f"adc {sums[3]}, r25")
    for signed, other in (("r21", "r18"), ("r19", "r20")):
        yield from (f"mulsu {signed}, {other}", "sbc r24, r24")
        yield from (f"add {sums[1]}, r0", f"adc {sums[2]}, r1", f"adc {sums[3]}, r24")


def _lines(lines: Iterator[str] | list[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)


_TEMPLATE = """\
#if {{condition}}

/* void {{policy}}_rows(const int16_t *weight, const int16_t *x, unsigned columns, int32_t *sums,
 *                  unsigned groups):
 * as in {{policy}}.c. Z weights, X values, Y sums; two sums are in r2 to r9, four values in r10 to
 * r17; r22 is a quarter of the columns, r23 counts; where the group's weights begin and the groups
 * left are on the stack. T is set in the second half of a group. */
    .text
    .global {{policy}}_rows
    .type {{policy}}_rows, @function
{{policy}}_rows:
{{push}}    movw r30, r24
    movw r26, r22
    movw r28, r18
    lsr r21
    ror r20
    lsr r21
    ror r20
    mov r22, r20
    mov r20, r16
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
{{pop}}    ret
    .size {{policy}}_rows, . - {{policy}}_rows

#endif
"""
