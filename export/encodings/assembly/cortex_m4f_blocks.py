"""Cortex-M4F assembly of dense layers that skips values of 0, in blocks of 20 rows.

The sums of a block stay in registers. Of each column that has a value, the block's weights are
loaded ten at a time (VLDM: 1 cycle and 1 a weight), multiplied and added in two runs, so that no
instruction waits for the one before it: 3 cycles a weight, 7 more a column. The float compare at
the end keeps NaN, as relu in C does.

Cycles: Arm Cortex-M4 Processor Technical Reference Manual (100166), tables 3-1 and 7-1.
"""

from __future__ import annotations

from collections.abc import Collection

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.cortex_m4f import CONDITION

__all__ = ["CONDITION", "ROWS", "assembly"]

ROWS = 20
"""Rows a block: of 32 float registers 2 hold values, 10 weights, and the rest sums."""

_WEIGHTS = 10
_FIRST_WEIGHT = 2
_FIRST_SUM = _FIRST_WEIGHT + _WEIGHTS


def assembly(sizes: Collection[int], style: CStyle) -> str:
    """Return policy.S with `policy_blocks` for layers of so many rows."""
    left_over = {size % ROWS for size in sizes} - {0}
    used = sorted(left_over | {ROWS for size in sizes if size >= ROWS}, reverse=True)
    return style.render(
        _TEMPLATE,
        condition=style.render(CONDITION),
        tests="".join(f"    cmp r2, #{rows}\n    bhs {_label(rows)}\n" for rows in used),
        blocks="".join(_block(rows, style) for rows in used),
    )


def _block(rows: int, style: CStyle) -> str:
    sums = _registers(_FIRST_SUM, rows)
    return style.render(
        _BLOCK,
        label=_label(rows),
        rows=rows,
        bytes=4 * rows,
        sums=sums,
        pair_a=_column("s0", "r8", rows) + _column("s1", "r9", rows),
        pair_b=_column("s0", "r10", rows) + _column("s1", "r11", rows),
        single=_column("s0", "r8", rows),
        gather="".join(style.render(_GATHER, sum=f"s{_FIRST_SUM + row}") for row in range(rows)),
    )


def _column(value: str, address: str, rows: int) -> str:
    """Return the instructions that add weight times value to the sum of each row."""
    lines = []
    for start in range(0, rows, _WEIGHTS):
        places = range(start, min(start + _WEIGHTS, rows))
        weights = [f"s{_FIRST_WEIGHT + place - start}" for place in places]
        sums = [f"s{_FIRST_SUM + place}" for place in places]
        lines.append(f"vldmia {address}!, {_registers(_FIRST_WEIGHT, len(places))}")
        lines += [f"vmul.f32 {weight}, {weight}, {value}" for weight in weights]
        lines += [
            f"vadd.f32 {each}, {each}, {weight}" for each, weight in zip(sums, weights, strict=True)
        ]
    return "".join(f"    {line}\n" for line in lines)


def _registers(first: int, count: int) -> str:
    return f"{{s{first}}}" if count == 1 else f"{{s{first}-s{first + count - 1}}}"


def _label(rows: int) -> str:
    return f".Lrows{rows}"


_GATHER = """\
    vcmp.f32 {{sum}}, #0
    vmrs APSR_nzcv, fpscr
    itt hi
    vstmiahi r8!, { {{- sum -}} }
    strhi r10, [r9], #4
    add r10, r10, #1
"""

_BLOCK = """\
{{label}}:
    vldmia r1!, {{sums}}
    mov r5, r3
    mov r6, r12
    lsrs r7, lr, #2
    beq 2f
1:  ldmia r6!, {r8-r11}
    mla r8, r8, r4, r0
    mla r9, r9, r4, r0
    mla r10, r10, r4, r0
    mla r11, r11, r4, r0
    vldmia r5!, {s0, s1}
{{pair_a}}    vldmia r5!, {s0, s1}
{{pair_b}}    subs r7, r7, #1
    bne 1b
2:  ands r7, lr, #3
    beq 4f
3:  ldr r8, [r6], #4
    vldmia r5!, {s0}
    mla r8, r8, r4, r0
{{single}}    subs r7, r7, #1
    bne 3b
4:  ldrd r8, r9, [sp, #108]
    ldr r10, [sp, #116]
    cmp r9, #0
    beq 5f
{{gather}}    b 6f
5:  vstmia r8!, {{sums}}
6:  strd r8, r9, [sp, #108]
    str r10, [sp, #116]
    add r0, r0, #{{bytes}}
    subs r2, r2, #{{rows}}
    bne .Lnext
    b .Lend

"""

_TEMPLATE = """\
#if {{condition}}

/* unsigned {{policy}}_blocks(const float *weight, const float *bias, unsigned rows, const float *x,
 *                        const unsigned *at, unsigned count, float *y, unsigned *place,
 *                        unsigned first): as in {{policy}}.c, the same sums in the same order.
 * r0 weights of the block, r1 its biases, r2 rows left, r3 x, r4 bytes a column, r12 at, lr count;
 * in a block r5 runs through x, r6 through `at`, r7 counts, r8-r11 are columns. */
    .syntax unified
    .thumb
    .text
    .align 2
    .global {{policy}}_blocks
    .thumb_func
    .type {{policy}}_blocks, %function
{{policy}}_blocks:
    push {r4-r11, lr}
    vpush {s16-s31}
    ldrd r12, lr, [sp, #100]
    lsl r4, r2, #2
    ldr r8, [sp, #108]
    str r8, [sp, #104]      /* where y starts; count is in lr */
.Lnext:
{{tests}}
{{blocks}}.Lend:
    ldr r1, [sp, #104]
    ldr r0, [sp, #108]
    sub r0, r0, r1
    lsr r0, r0, #2
    vpop {s16-s31}
    pop {r4-r11, pc}
    .size {{policy}}_blocks, . - {{policy}}_blocks

#endif
"""
