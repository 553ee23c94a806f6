"""AVR assembly without loops for 8-bit weights: 14 cycles a weight, 10 where inputs stay in
registers."""

from __future__ import annotations

from collections.abc import Iterator

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_stream import CONDITION
from sparsectl.export.encodings.fixed.policy import FixedLayer, FixedPolicy

MAX_INPUTS = 4
"""The most inputs of the first layer. Each occupies two registers, of which that of the high byte
must be one of the four that may be signed in a product."""

_TEMPLATE = """\
#if {{condition}}

/* void {{policy}}_layers(const int16_t *x, int32_t *sums): the layers as in {{policy}}.c. \
A sum is in
 * r24:r19:r18; its two upper bytes are the value. Weights are without sign: a product is added or
 * subtracted. */
    .text
    .global {{policy}}_layers
    .type {{policy}}_layers, @function
{{policy}}_layers:
    push r2
    push r3
    push r4
    push r5
    push r16
    movw r30, r24
    movw r26, r22
    clr r25
{{body}}    clr r1
    pop r16
    pop r5
    pop r4
    pop r3
    pop r2
    ret
    .size {{policy}}_layers, . - {{policy}}_layers

    .local {{policy}}_values
    .comm {{policy}}_values, {{bytes}}, 1

#endif
"""


def serves(policy: FixedPolicy) -> bool:
    """Return whether there is assembly for this policy: it needs few observations, hidden ReLU
    layers, and limits of whole bytes."""
    hidden = policy.layers[:-1]
    relu = all(layer.layer.activation == "relu" and layer.limit >= 255 for layer in hidden)
    return bool(hidden) and relu and policy.graph.observation_size <= MAX_INPUTS


def assembly(policy: FixedPolicy, style: CStyle) -> str:
    """Return policy.S, whose values are in static memory."""
    lines = list(_load_observation(policy.graph.observation_size))
    values = style.name("values")
    odd = max(layer.layer.outputs for layer in policy.layers[:-1][0::2])
    even = max((layer.layer.outputs for layer in policy.layers[:-1][1::2]), default=0)
    for index, layer in enumerate(policy.layers):
        source = 2 * odd * (index % 2 == 0)
        target = None if index == len(policy.layers) - 1 else 2 * odd * (index % 2)
        lines += _layer(layer, values, None if index == 0 else source, target)
    body = "".join(f"    {line}\n" if line[-1] != ":" else f"{line}\n" for line in lines)
    condition = style.render(CONDITION)
    return style.render(_TEMPLATE, condition=condition, body=body, bytes=2 * (odd + even))


def _load_observation(size: int) -> Iterator[str]:
    """Yield the instructions that load the low bytes into r2 and up, and the high bytes into r20
    and up."""
    for i in range(size):
        yield f"ld r{2 + i}, Z+"
        yield f"ld r{20 + i}, Z+"


def _layer(layer: FixedLayer, values: str, source: int | None, target: int | None) -> Iterator[str]:
    for row in range(len(layer.bias)):
        bias = int(layer.bias[row]) & 0xFFFFFF
        for register, byte in (("r18", 0), ("r19", 8), ("r24", 16)):
            yield f"ldi {register}, {bias >> byte & 0xFF}"
        for column in layer.weight[row].nonzero()[0].tolist():
            yield from _product(int(layer.weight[row, column]), column, values, source)
        if target is None:
            yield from _store_sum()
        else:
            over = bool(layer.greatest[row] > layer.limit)
            yield from _store_value(f"{values}+{target + 2 * row}", over, layer.limit)


def _product(weight: int, column: int, values: str, source: int | None) -> Iterator[str]:
    """Yield the instructions that add or subtract the weight's magnitude times the low and the high
    byte of the value."""
    add, carry = ("add", "adc") if weight > 0 else ("sub", "sbc")
    low, high, multiply = f"r{2 + column}", f"r{20 + column}", "mulsu"
    if source is not None:
        low, high, multiply = "r20", "r21", "mul"
        yield f"lds r20, {values}+{source + 2 * column}"
        yield f"lds r21, {values}+{source + 2 * column + 1}"
    yield f"ldi r16, {abs(weight)}"
    yield f"mul r16, {low}"
    yield from (f"{add} r18, r0", f"{carry} r19, r1", f"{carry} r24, r25")
    yield f"{multiply} {high}, r16"
    yield from (f"{add} r19, r0", f"{carry} r24, r1")


def _store_value(place: str, over: bool, limit: int) -> Iterator[str]:
    yield from ("tst r24", "brpl 1f", "clr r19", "clr r24", "1:")
    if over:
        first = (limit + 1) >> 8
        yield from (f"cpi r24, {first}", "brlo 1f", f"ldi r24, {first - 1}", "ldi r19, 255", "1:")
    yield f"sts {place}, r19"
    yield f"sts {place}+1, r24"


def _store_sum() -> Iterator[str]:
    """Yield the instructions that store the sum of 24 bits as one of 32."""
    yield from ("st X+, r18", "st X+, r19", "st X+, r24")
    yield from ("lsl r24", "sbc r24, r24", "st X+, r24")
