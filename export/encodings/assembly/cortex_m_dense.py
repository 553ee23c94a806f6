"""Cortex-M assembly of dense layers in whole numbers, four rows by eight columns at a time.

LDM takes 1 cycle and 1 a register, SMLAD (two products of 16 bits and their sum) 1, SXTB16 (two
bytes to 16 bits) 1: with weights of 16 bits 44 cycles a turn, of 8 bits 50, for 32 products. LDM
needs words at multiples of four; where an array stands otherwise, the same turns are taken with
LDR, which does not.

Cycles: Arm Cortex-M4 Processor Technical Reference Manual (100166), table 3-1.
"""

from __future__ import annotations

from collections.abc import Callable

from sparsectl.export.c_style import CStyle

CONDITION = (
    "!defined({{POLICY}}_NO_ASSEMBLY) && defined(__thumb2__) && \\\n"
    "    defined(__ARM_FEATURE_SIMD32) && \\\n"
    "    defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'"
)
"""A template for the preprocessor: on these cores policy.S stands in for the C form."""

Load = Callable[[str, list[str]], list[str]]


def assembly(is_bytes: bool, style: CStyle) -> str:
    """Return policy.S with `policy_four_rows` for weights of 8 or of 16 bits."""
    step = _bytes if is_bytes else _halves
    return style.render(
        _TEMPLATE,
        condition=style.render(CONDITION),
        type="int8_t" if is_bytes else "int16_t",
        aligned=_lines(step(_load_many)),
        unaligned=_lines(step(_load_each)),
    )


def rows_assembly(is_bytes: bool, style: CStyle) -> str:
    """Return policy.S with `policy_rows` for weights of 8 or of 16 bits, which computes any number
    of groups of four rows."""
    step = _bytes if is_bytes else _halves
    return style.render(
        _ROWS_TEMPLATE,
        condition=style.render(CONDITION),
        type="int8_t" if is_bytes else "int16_t",
        aligned=_lines(step(_load_many)),
        unaligned=_lines(step(_load_each)),
    )


def _lines(lines: list[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)


def _load_many(address: str, registers: list[str]) -> list[str]:
    return [f"ldmia {address}!, {{{', '.join(registers)}}}"]


def _load_each(address: str, registers: list[str]) -> list[str]:
    return [f"ldr {register}, [{address}], #4" for register in registers]


def _halves(load: Load) -> list[str]:
    """Return the instructions for four columns of 16 bits: two words of weights per row."""
    lines = load("r1", ["r8", "r9"])
    for first in (4, 6):
        lines += load("r0", ["r3", "r10", "r11", "r12"])
        for row, (low, high) in zip(
            (first, first + 1), (("r3", "r10"), ("r11", "r12")), strict=True
        ):
            lines += [f"smlad r{row}, {low}, r8, r{row}", f"smlad r{row}, {high}, r9, r{row}"]
    return lines


def _bytes(load: Load) -> list[str]:
    """Return the instructions for four columns of bytes: one word of weights per row, in the order
    0, 2, 1, 3."""
    lines = load("r1", ["r8", "r9"]) + load("r0", ["r3", "r10", "r11", "r12"])
    for row, weights in zip(range(4, 8), ("r3", "r10", "r11", "r12"), strict=True):
        lines += [
            f"sxtb16 lr, {weights}",
            f"sxtb16 {weights}, {weights}, ror #8",
            f"smlad r{row}, lr, r8, r{row}",
            f"smlad r{row}, {weights}, r9, r{row}",
        ]
    return lines


_TEMPLATE = """\
#if {{condition}}

/* void {{policy}}_four_rows(const {{type}} *weight, const int16_t *x, unsigned columns, \
int32_t *sum):
 * as in {{policy}}.c. r0 weights, r1 x, r2 columns left, r4-r7 sums, r8 and r9 values of x. */
    .syntax unified
    .thumb
    .text
    .align 2
    .global {{policy}}_four_rows
    .thumb_func
    .type {{policy}}_four_rows, %function
{{policy}}_four_rows:
    push {r3-r11, lr}
    orr r12, r0, r1
    ldmia r3, {r4-r7}
    tst r12, #3
    bne 4f
    tst r2, #4
    beq 1f
{{aligned}}    subs r2, r2, #4
    beq 3f
1:
{{aligned}}{{aligned}}    subs r2, r2, #8
    bne 1b
3:  ldr r3, [sp]
    stmia r3, {r4-r7}
    pop {r3-r11, pc}
4:
{{unaligned}}    subs r2, r2, #4
    bne 4b
    b 3b
    .size {{policy}}_four_rows, . - {{policy}}_four_rows

#endif
"""

_ROWS_TEMPLATE = """\
#if {{condition}}

/* void {{policy}}_rows(const {{type}} *weight, const int16_t *x, unsigned columns, int32_t *sums,
 *                  unsigned groups):
 * as in {{policy}}.c. r0 weights, r1 x, r2 columns left, r4-r7 sums, r8 and r9 values of x; on the
 * stack where x starts, the columns, the next sums and the groups left. */
    .syntax unified
    .thumb
    .text
    .align 2
    .global {{policy}}_rows
    .thumb_func
    .type {{policy}}_rows, %function
{{policy}}_rows:
    push {r1-r11, lr}
1:  ldm sp, {r1-r3}
    orr r12, r0, r1
    ldmia r3, {r4-r7}
    tst r12, #3
    bne 4f
    tst r2, #4
    beq 2f
{{aligned}}    subs r2, r2, #4
    beq 3f
2:
{{aligned}}{{aligned}}    subs r2, r2, #8
    bne 2b
3:  ldr r3, [sp, #8]
    stmia r3!, {r4-r7}
    str r3, [sp, #8]
    ldr r12, [sp, #48]
    subs r12, r12, #1
    str r12, [sp, #48]
    bne 1b
    add sp, sp, #12
    pop {r4-r11, pc}
4:
{{unaligned}}    subs r2, r2, #4
    bne 4b
    b 3b
    .size {{policy}}_rows, . - {{policy}}_rows

#endif
"""
