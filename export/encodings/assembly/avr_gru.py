"""AVR assembly of a GRU's units: the three curves and two products of each in one pass, 250 cycles
a unit, a third of what avr-gcc makes of the C.

Cycles: AVR Instruction Set Manual (DS40002198), the tables of LPM, MUL and ADD.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_rows import lines
from sparsectl.export.encodings.assembly.avr_stream import CONDITION
from sparsectl.export.encodings.fixed import curve
from sparsectl.export.encodings.fixed.steps import GATE_BITS, Cell, Operand

MOST_UNITS: Final = 255
_OPERANDS: Final = ("reset", "recurrent", "input", "update")
"""The sums of a unit in the order in which they are read."""
_SAVED: Final = (*range(2, 11), 16, 17, 28, 29)

DECLARATION: Final = """\
/* As in the other form of this; written in {{policy}}.S, which reads sums as it stores them. */
void {{policy}}_{{name}}(const int32_t *sum, const int16_t *x, int16_t *y, const int16_t *table);

static void {{name}}(const int32_t *sum, const int16_t *x, int16_t *y)
{
    {{policy}}_{{name}}(sum, x, y, curve_table);
}
"""
"""A template for the C that calls it."""


def serves(cell: Cell, sum_bits: int) -> bool:
    """Return whether there is assembly for these units. sum_bits: of a sum, its sign included."""
    if cell.kind != "gru" or cell.units > MOST_UNITS or cell.cuts_off or not cell.is_narrow:
        return False
    named = {operand.name: operand for operand in cell.operands}
    sums = [named[name] for name in _OPERANDS]
    state = named["state"]
    return (
        all(not each.is_value and _fits(each, sum_bits) for each in sums)
        and all(-8 < run.drop < 24 for each in sums for run in each.runs)
        and state.is_value
        and state.drop == 0
        and GATE_BITS - 7 <= cell.gated_drop <= GATE_BITS
    )


def _fits(operand: Operand, sum_bits: int) -> bool:
    """Return whether 23 bits hold the operand."""
    return operand.bits <= 23 or (not operand.added and sum_bits - operand.drop <= 23)


def assembly(cell: Cell, sum_bytes: int, style: CStyle) -> str:
    """Return policy.S with the units of a layer, whose sums have three or four bytes each."""
    named = {operand.name: operand for operand in cell.operands}
    reads: dict[str, str] = {}
    at = 0  # the byte of the sums to which Y points
    for name in _OPERANDS:
        code: list[str] = []
        for run in reversed(named[name].runs):
            first = sum_bytes * run.start
            code += _KEPT if code else []
            code += [*_moved(first - at), *_loaded(run, sum_bytes)]
            at = first
        reads[name] = lines([*code, *(_ADDED if named[name].added else [])])
    return style.render(
        _TEMPLATE,
        condition=style.render(CONDITION),
        name=style.name(cell.name),
        push=lines(f"push r{register}" for register in _SAVED),
        pop=lines(f"pop r{register}" for register in reversed(_SAVED)),
        units=cell.units,
        bytes=sum_bytes,
        state=lines(_moved(2 * named["state"].start, "r26", "r27")),
        **reads,
        gate=lines(_curve(is_gate=True)),
        tanh=lines(_curve(is_gate=False)),
        product=lines(_PRODUCT),
        gated=lines(["lsl r23", "rol r24", "rol r25", "rol r18"] * (GATE_BITS - cell.gated_drop)),
        fresh=lines(_rounded(cell.fresh_drop)),
        next=lines(_moved(sum_bytes - at)),
    )


def _moved(by: int, low: str = "r28", high: str = "r29") -> list[str]:
    """Return the instructions that add a constant to a pointer."""
    return [f"subi {low}, lo8({-by})", f"sbci {high}, hi8({-by})"] if by else []


_KEPT: Final = ("movw r18, r22", "mov r20, r24")
_ADDED: Final = ("add r22, r18", "adc r23, r19", "adc r24, r20")
"""The first of two sums, while the second is loaded."""


def _loaded(operand: Operand, sum_bytes: int) -> Iterator[str]:
    """Yield the instructions that load a sum shifted right by the operand's drop, of which 23 bits
    are left, to r24:r23:r22: to the right by the bits beyond whole bytes, or to the left by what is
    missing to a byte, whichever takes less."""
    first, bits = divmod(max(operand.drop, 0), 8)
    to_left = bits > 4
    last = 22 + (3 if to_left else 2)
    for register in range(22, last + 1):
        place = first + register - 22
        if place < sum_bytes:
            yield f"ldd r{register}, Y+{place}"
        else:
            yield from (f"mov r{register}, r{register - 1}", f"lsl r{register}")
            yield f"sbc r{register}, r{register}"
    if to_left:
        for _ in range(8 - bits):
            yield from ("lsl r22", "rol r23", "rol r24", "rol r25")
        yield from ("mov r22, r23", "mov r23, r24", "mov r24, r25")
    else:
        for _ in range(bits):
            yield from ("asr r24", "ror r23", "ror r22")
        for _ in range(-operand.drop):
            yield from ("lsl r22", "rol r23", "rol r24")


def _curve(*, is_gate: bool) -> Iterator[str]:
    """Yield fixed_gate or fixed_tanh of r24:r23:r22, to r21:r20. T has the sign, r23 is the entry
    and r22 the distance beyond it."""
    yield from ("bst r24, 7", "brtc 1f", "com r24", "com r23", "neg r22")
    yield from ("sbci r23, 255", "sbci r24, 255", "1:")
    if not is_gate:
        yield from ("lsl r22", "rol r23", "rol r24")
    yield from ("tst r24", "brne 2f", f"cpi r23, {curve.END >> 8}", "brlo 3f")
    yield from ("2:", "ldi r20, 0xff", "ldi r21, 0x7f", "rjmp 4f", "3:")
    yield from ("mov r30, r23", "clr r31", "lsl r30", "rol r31", "add r30, r2", "adc r31, r3")
    yield from ("lpm r20, Z+", "lpm r21, Z+", "lpm r18, Z+", "lpm r19, Z")
    yield from ("sub r18, r20", "sbc r19, r21")
    yield from ("mul r18, r22", "add r20, r1", "adc r21, r6")
    yield from ("mul r19, r22", "add r20, r0", "adc r21, r1")
    yield from ("4:", "brtc 5f", "com r21", "neg r20", "sbci r21, 255", "5:")
    if is_gate:
        yield "subi r21, 0x80      /* + 32768 */"


_PRODUCT: Final = (
    *("mulsu r17, r21", "movw r24, r0"),
    *("mul r20, r16", "mov r23, r1"),
    *("mul r21, r16", "add r23, r0", "adc r24, r1", "adc r25, r6"),
    *("mulsu r17, r20", "sbc r25, r6", "add r23, r0", "adc r24, r1", "adc r25, r6"),
)
"""The product of a gate, r21:r20, and a signed value, r17:r16: its upper three bytes to
r25:r24:r23."""


def _rounded(drop: int) -> list[str]:
    """Return the instructions that shift r21:r20 to the right and round it to the nearest."""
    if not drop:
        return []
    return [*["asr r21", "ror r20"] * drop, "adc r20, r6", "adc r21, r6"]


_TEMPLATE: Final = """\
#if {{condition}}

/* void {{name}}(const int32_t *sum, const int16_t *x, int16_t *y, const int16_t *table):
 * as in {{policy}}.c. Y sums of {{bytes}} bytes, X states, r5:r4 results, r3:r2 the table; r6 is \
0 and r7
 * the units left. */
    .text
    .global {{name}}
    .type {{name}}, @function
{{name}}:
{{push}}    movw r28, r24
    movw r26, r22
    movw r4, r20
    movw r2, r18
    clr r6
    ldi r24, {{units}}
    mov r7, r24
{{state}}0:
    /* the reset gate times the recurrent sum, to r10:r9:r8 */
{{reset}}{{gate}}{{recurrent}}    movw r16, r22
{{product}}    mov r18, r25
    lsl r18
    sbc r18, r18
{{gated}}    movw r8, r24
    mov r10, r18
    /* tanh of the input's sum and that, to r9:r8 */
{{input}}    add r22, r8
    adc r23, r9
    adc r24, r10
{{tanh}}{{fresh}}    movw r8, r20
    /* from there towards the state by the update gate */
    ld r16, X+
    ld r17, X+
    sub r16, r8
    sbc r17, r9
{{update}}{{gate}}{{product}}    lsl r23             /* rounded to the nearest */
    adc r24, r6
    adc r25, r6
    add r24, r8
    adc r25, r9
    movw r30, r4
    st Z+, r24
    st Z+, r25
    movw r4, r30
{{next}}    dec r7
    breq 6f
    rjmp 0b
6:  clr r1
{{pop}}    ret
    .size {{name}}, . - {{name}}

#endif
"""
