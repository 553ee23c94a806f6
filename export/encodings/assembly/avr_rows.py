"""The function `policy_rows` in AVR assembly: what its versions for bytes and for 16 bits share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_stream import CONDITION

_SAVED: Final = (*range(2, 18), 28, 29)
"""The registers that a function has to leave as they were: avr-gcc's calling convention."""


def rows_function(style: CStyle, *, weight: str, registers: str, quarter: str, body: str) -> str:
    """Return policy.S with `policy_rows`, whose arguments are pointers to weights, values and sums,
    the number of columns, and the number of groups of four rows.

    Args:
        weight: the type of a weight in C.
        registers: the end of the comment in C, which says what the registers hold.
        quarter: the register for a quarter of the number of columns.
        body: what follows when Z, X and Y point to weights, values and sums, and r20 holds the
            number of groups; its last line makes r1 zero again.
    """
    return style.render(
        _TEMPLATE,
        condition=style.render(CONDITION),
        weight=weight,
        registers=registers,
        push=lines(f"push r{register}" for register in _SAVED),
        quarter=quarter,
        body=body,
        pop=lines(f"pop r{register}" for register in reversed(_SAVED)),
    )


def lines(instructions: Iterable[str]) -> str:
    """Return instructions as lines of assembly."""
    return "".join(f"    {instruction}\n" for instruction in instructions)


_TEMPLATE: Final = """\
#if {{condition}}

/* void {{policy}}_rows(const {{weight}} *weight, const int16_t *x, unsigned columns, int32_t *sums,
 *                  unsigned groups):
 * as in {{policy}}.c. Z weights, X values, Y sums; {{registers}} */
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
    mov {{quarter}}, r20
    mov r20, r16
{{body}}{{pop}}    ret
    .size {{policy}}_rows, . - {{policy}}_rows

#endif
"""
