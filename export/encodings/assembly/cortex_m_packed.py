"""Cortex-M assembly of words of 16 bits: 8 cycles a weight, about 18 a row (Cortex-M4F)."""

from __future__ import annotations

from sparsectl.export.c_style import CStyle

CONDITION = (
    "!defined({{POLICY}}_NO_ASSEMBLY) && defined(__thumb2__) && \\\n"
    "    defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'"
)
"""A template for the preprocessor: on these cores policy.S stands in for the C form."""

_TEMPLATE = """\
#if {{condition}}

/* void {{policy}}_packed(const int16_t *word, const uint8_t *count, const int32_t *bias,
 *                    const int32_t *x, int32_t *y, unsigned outputs, int32_t bits):
 * as in {{policy}}.c, two weights at a time. */
    .syntax unified
    .thumb
    .text
    .align 2
    .global {{policy}}_packed
    .thumb_func
    .type {{policy}}_packed, %function
{{policy}}_packed:
    push {r4-r11, lr}
    ldrd r4, r5, [sp, #36]
    ldr r6, [sp, #44]
    mov r12, #1
    lsl r12, r12, r6
    sub r12, r12, #1
1:  ldrb r8, [r1], #1
    ldr r9, [r2], #4
    lsrs r8, r8, #1
    bcc 2f
    ldrsh r10, [r0], #2
    and r7, r10, r12
    asr r10, r10, r6
    ldr r7, [r3, r7, lsl #2]
    mla r9, r10, r7, r9
2:  beq 4f
3:  ldrsh r10, [r0], #2
    ldrsh r11, [r0], #2
    and r7, r10, r12
    and lr, r11, r12
    ldr r7, [r3, r7, lsl #2]
    ldr lr, [r3, lr, lsl #2]
    asr r10, r10, r6
    asr r11, r11, r6
    mla r9, r10, r7, r9
    mla r9, r11, lr, r9
    subs r8, r8, #1
    bne 3b
4:  cmp r6, #0          /* the sums are wanted: bits has its sign set; a shift takes its low byte */
    it ge
    usatge r9, #15, r9, asr #{{shift}}
    str r9, [r4], #4
    subs r5, r5, #1
    bne 1b
    pop {r4-r11, pc}
    .size {{policy}}_packed, . - {{policy}}_packed

#endif
"""


def assembly(shift: int, style: CStyle) -> str:
    """Return policy.S for sums that a shift by `shift` turns into values."""
    return style.render(_TEMPLATE, condition=style.render(CONDITION), shift=shift)
