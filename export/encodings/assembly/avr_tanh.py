"""AVR assembly of tanh in whole numbers: about 100 cycles, where compiled C takes 300.

What `export.encodings.fixed.tanh` computes, bit for bit. A compiler multiplies 16 bits by 16 and
shifts 32 a bit at a time; here the distance to the table's entry has a byte and a sign, and what
no result depends on is not computed.

Cycles: AVR Instruction Set Manual (DS40002198), the tables of LPM, MUL and ADD.
"""

from __future__ import annotations

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_stream import CONDITION

__all__ = ["CONDITION", "DECLARATION", "assembly"]

DECLARATION = """\
/* tanh of a multiple of 2^-12, as a multiple of 2^-15; written in {{policy}}.S. */
int16_t {{policy}}_tanh(int32_t x, const int16_t *table);

static int16_t fixed_tanh(int32_t x)
{
    return {{policy}}_tanh(x, tanh_table);
}
"""
"""A template for the C that calls it."""

_TEMPLATE = """\
#if {{condition}}

/* int16_t {{policy}}_tanh(int32_t x, const int16_t *table): fixed_tanh as in {{policy}}.c. T has
 * the sign; r27 is twice the entry, t is r21:r20 and h is r22, of which r23 (0 or -1) is the sign.
 * Of each product the bytes are kept that the result is shifted out of. */
    .text
    .global {{policy}}_tanh
    .type {{policy}}_tanh, @function
{{policy}}_tanh:
    bst r25, 7
    brtc 1f
    com r25
    com r24
    com r23
    neg r22
    sbci r23, 255
    sbci r24, 255
    sbci r25, 255
1:  or r24, r25
    brne 2f
    cpi r23, 0x60       /* 24576 */
    brlo 3f
2:  ldi r24, 0xff       /* 32767 */
    ldi r25, 0x7f
    brts 1f
    ret
1:  ldi r24, 0x01
    ldi r25, 0x80
    ret
3:  clr r26
    mov r27, r23
    inc r27
    andi r27, 0xfe
    movw r30, r20
    add r30, r27
    adc r31, r26
    sub r23, r27
    lpm r20, Z+
    lpm r21, Z
    mul r20, r22        /* th = t h >> 13, to r19:r18 */
    mov r18, r1
    mul r21, r22
    add r18, r0
    mov r19, r1
    adc r19, r26
    tst r23
    breq 4f
    sub r18, r20
    sbc r19, r21
4:
{{halve_th}}    mul r18, r22        /* th h >> 12, to r25:r24 */
    mov r24, r1
    mulsu r19, r22
    add r24, r0
    mov r25, r1
    adc r25, r26
    tst r23
    breq 5f
    sub r24, r18
    sbc r25, r19
5:
{{halve_thh}}    lsl r22             /* rise = 4 h - that, to r23:r22 */
    rol r23
    lsl r22
    rol r23
    sub r22, r24
    sbc r23, r25
    mul r20, r20        /* slope = 16384 - (t t >> 16), to r19:r18 */
    mov r24, r1
    mul r21, r21
    movw r18, r0
    mul r20, r21
    add r24, r0
    adc r18, r1
    adc r19, r26
    add r24, r0
    adc r18, r1
    adc r19, r26
    com r19
    neg r18
    sbci r19, 255
    subi r19, 0xc0
    mul r18, r22        /* slope rise, its upper three bytes to r31:r30:r24 */
    mov r24, r1
    mulsu r23, r19
    movw r30, r0
    mul r19, r22
    add r24, r0
    adc r30, r1
    adc r31, r26
    mulsu r23, r18
    sbc r25, r25
    add r24, r0
    adc r30, r1
    adc r31, r25
    subi r24, 0xf0      /* + 4096 */
    sbci r30, 255
    sbci r31, 255
{{double}}    add r20, r30        /* t + (that >> 13) */
    adc r21, r31
    brtc 6f
    com r21
    neg r20
    sbci r21, 255
6:  movw r24, r20
    clr r1
    ret
    .size {{policy}}_tanh, . - {{policy}}_tanh

#endif
"""


def assembly(style: CStyle) -> str:
    """Return policy.S with `policy_tanh`."""
    return style.render(
        _TEMPLATE,
        condition=style.render(CONDITION),
        halve_th=_times(5, "asr r19", "ror r18"),
        halve_thh=_times(4, "asr r25", "ror r24"),
        double=_times(3, "lsl r24", "rol r30", "rol r31"),
    )


def _times(count: int, *lines: str) -> str:
    return "".join(f"    {line}\n" for line in lines * count)
