"""AVR assembly of the int16 stream: 36 cycles a weight, 26 a row."""

from __future__ import annotations

from sparsectl.export.c_style import CStyle

CONDITION = "!defined({{POLICY}}_NO_ASSEMBLY) && defined(__AVR__) && defined(__AVR_HAVE_MUL__)"
"""A template for the preprocessor: on these cores policy.S stands in for the C form."""

PAGE_VALUES = 128
"""Values of 16 bits in 256 bytes: within them an address has one byte that changes."""

_TEMPLATE = """\
#if {{condition}}

/* void {{policy}}_stream(const uint8_t *stream, const uint16_t *x, uint16_t *y, int32_t *sums,
 *                    uint8_t rows): as in {{policy}}.c.
 *
 * x starts a page of 256 bytes, so a weight's place is the low byte of its value's address. A sum
 * is in r5:r4:r3:r2; four products of bytes make one of a weight r21:r20 and a value r23:r22. */
    .text
    .global {{policy}}_stream
    .type {{policy}}_stream, @function
{{policy}}_stream:
    push r2
    push r3
    push r4
    push r5
    push r16
    push r28
    push r29
    movw r30, r24
    mov r27, r23
    movw r28, r20
    clt
    or r20, r21
    brne 1f
    set                 /* no y: the sums are wanted */
    movw r28, r18
1:  clr r19
2:  lpm r18, Z+
    clr r2
    lpm r3, Z+
    lpm r4, Z+
    lpm r5, Z+
3:  lpm r20, Z+
    lpm r21, Z+
    lpm r26, Z+
    ld r22, X+
    ld r23, X
    mulsu r21, r23
    movw r24, r0
    mul r20, r22
    add r2, r0
    adc r3, r1
    adc r4, r24
    adc r5, r25
    mulsu r21, r22
    sbc r24, r24
    add r3, r0
    adc r4, r1
    adc r5, r24
    mul r20, r23
    add r3, r0
    adc r4, r1
    adc r5, r19
    dec r18
    brne 3b
    brts 5f
    lsl r3              /* 15 to the right is 1 to the left and 2 bytes to the right */
    rol r4
    rol r5
    brcc 4f
    clr r4
    clr r5
4:  st Y+, r4
    st Y+, r5
    dec r16
    brne 2b
    rjmp 6f
5:  st Y+, r2
    st Y+, r3
    st Y+, r4
    st Y+, r5
    dec r16
    brne 2b
6:  clr r1
    pop r29
    pop r28
    pop r16
    pop r5
    pop r4
    pop r3
    pop r2
    ret
    .size {{policy}}_stream, . - {{policy}}_stream

#endif
"""


def assembly(style: CStyle) -> str:
    """Return policy.S with `policy_stream`."""
    return style.render(_TEMPLATE, condition=style.render(CONDITION))
