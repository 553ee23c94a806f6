"""The C functions that every encoding in whole numbers needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.avr_stream import CONDITION
from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.float_steps import CarryFloats, FloatStep, parted
from sparsectl.export.encodings.fixed.policy import FixedPolicy, is_shifted
from sparsectl.export.encodings.fixed.steps import Cell, Step
from sparsectl.export.encodings.float_layers import activation_bits, activation_functions

WITHOUT_SIGN: Final = "uint16_t"
"""The type of values that are offset by 32768, so that they are unsigned."""

_OBSERVE = """\
/* The observation in fixed point, round(value 2^exponent) cut off at its limit: made from the
 * float's bits, as most cores that fixed point is for have no FPU. Gives the place of a NaN, else
 * the size. */
static unsigned observe(const float *observation, {{value}} *x)
{
    for (unsigned i = 0; i < {{inputs}}; i++) {
        const uint32_t bits = bits_of(observation[i]);
        if ((bits << 1) > 0xff000000u) {
            return i;
        }
        const {{value}} size = fixed_size(bits, READ_I8(input_exponent + i),
                                      READ_I16(input_limit + i));
        x[i] = {{signed}};
    }
    return {{inputs}};
}
"""

_FIXED_SIZE = """\
static {{value}} fixed_size(uint32_t bits, int exponent, int16_t limit)
{
    const int drop = 150 - exponent - (int){{biased}};
    const uint32_t mantissa = (bits & 0x7fffffu) | 0x800000u;
    if (drop > 24) {
        return 0;
    }
    const uint32_t size = drop < 9 ? 0xffffu : ((mantissa >> (drop - 1)) + 1u) >> 1;
    return size > (uint32_t)limit ? ({{value}})limit : ({{value}})size;
}
"""

_FIXED_SIZE_BY_BYTES = """\
/* As in the other form of this: of the bits that are left the lowest byte never is one, and a shift
 * by 8 moves a byte. */
static {{value}} fixed_size(uint32_t bits, int exponent, int16_t limit)
{
    const int drop = 150 - exponent - (int){{biased}};
    if (drop > 24) {
        return 0;
    }
    if (drop < 9) {
        return limit;
    }
    uint8_t left = (uint8_t)(drop - 9);
    uint16_t size = (uint16_t)((uint16_t)(bits >> 8) | 0x8000u);
    if (left >= 8) {
        size = (uint8_t)(size >> 8);
        left = (uint8_t)(left - 8);
    }
    size = (uint16_t)(size >> left);
    size = (uint16_t)((size >> 1) + (size & 1u));
    return size > (uint16_t)limit ? limit : (int16_t)size;
}
"""

_TAKE_STATE = """\
/* The state as values. */
static void take_state(const int16_t *state, {{value}} *x)
{
    for (unsigned i = 0; i < {{POLICY}}_STATE_SIZE; i++) {
        x[i] = state[i];
    }
}
"""

_TAKE_WITHIN = """\
/* The state as values, each cut off at its limit. */
static void take_state(const int16_t *state, {{value}} *x)
{
    for (unsigned i = 0; i < {{POLICY}}_STATE_SIZE; i++) {
        const int16_t most = READ_I16(input_limit + {{POLICY}}_OBSERVATION_SIZE + i);
        x[i] = state[i] > most ? most : (state[i] < -most ? (int16_t)-most : state[i]);
    }
}
"""

_KEEP_STATE = """\
static void keep_state(const {{value}} *x, int16_t *state, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        state[i] = (int16_t)x[i];
    }
}
"""

_TANH_ALL = """\
/* Sums, each a multiple of 2^-exponent, to tanh of them in multiples of 2^-15. */
static void fixed_tanh_all(const int32_t *sum, const int8_t *exponent, {{value}} *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        y[i] = fixed_tanh(sum[i] >> (READ_I8(exponent + i) - {{first_exponent}}));
    }
}
"""

_TO_FLOATS = """\
/* Sums to floats, for an activation that is not computed in whole numbers. */
static void to_floats(const int32_t *sum, const float *unit, float *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        y[i] = (float)sum[i] * {{POLICY}}_READ_FLOAT(unit + i);
    }
}
"""

_TO_FIXED = """\
static void to_fixed(const float *x, const int8_t *exponent, {{value}} *y, int16_t limit,
                     unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const uint32_t bits = bits_of(x[i]);
        const {{value}} size = fixed_size(bits, READ_I8(exponent + i), limit);
        y[i] = {{signed}};
    }
}
"""


def fixed_functions(
    policy: FixedPolicy,
    value_type: str,
    style: CStyle,
    *,
    on_avr: bool,
    in_assembly: Mapping[str, str],
) -> list[str]:
    """Return the functions that policy_act calls besides its layers' own.

    Args:
        policy: in integers.
        value_type: the C type of a value.
        style: of the C.
        on_avr: whether the policy has a form for AVR.
        in_assembly: by the name of a cell, the C that calls its form in policy.S on AVR.
    """
    if value_type == WITHOUT_SIGN:
        signed = f"({value_type})(bits >> 31 ? 32768u - size : 32768u + size)"
    else:
        signed = f"bits >> 31 ? ({value_type})-size : size"
    floats = [layer for layer in policy.layers if not layer.integer]
    has_cells = policy.layers[0].has_cells
    exponent = "(uint8_t)((bits << 1) >> 24)" if has_cells else "((bits >> 23) & 0xffu)"
    size = style.render(_FIXED_SIZE, value=value_type, biased=exponent)
    if on_avr:
        by_bytes = style.render(_FIXED_SIZE_BY_BYTES, value=value_type, biased=exponent)
        size = f"#if defined(__AVR__)\n{by_bytes}#else\n{size}#endif\n"
    functions = [
        size,
        style.render(_OBSERVE, value=value_type, signed=signed, inputs=style.tick_inputs),
    ]
    if style.whole_state:
        take = _TAKE_STATE if _stays_within(policy, style) else _TAKE_WITHIN
        functions += [style.render(each, value=value_type) for each in (take, _KEEP_STATE)]
    functions += _step_functions(policy, value_type, style, in_assembly)
    if has_tanh(policy) and not has_cells:
        functions.append(fixed_tanh.C_SOURCE)
    hidden = enumerate(policy.layers[:-1])
    if any(la.integer and not la.has_cells and not is_shifted(policy, i) for i, la in hidden):
        first = fixed_tanh.INPUT_BITS
        functions.append(style.render(_TANH_ALL, value=value_type, first_exponent=first))
    if floats:
        functions.append(style.render(_TO_FLOATS))
        functions += activation_functions((layer.layer for layer in floats), style.literal)
    if any(not layer.integer for layer in policy.layers[:-1]):
        functions.append(style.render(_TO_FIXED, value=value_type, signed=signed))
    return functions


def _step_functions(
    policy: FixedPolicy, value_type: str, style: CStyle, in_assembly: Mapping[str, str]
) -> list[str]:
    """Return the functions that steps call; on AVR without those that only cells in assembly
    would."""
    everywhere: dict[str, None] = {}
    elsewhere: dict[str, None] = {}
    on_avr = []
    for step in _called(policy, style):
        own = step.functions(value_type, style)
        if isinstance(step, Cell) and step.name in in_assembly:
            on_avr.append(in_assembly[step.name])
            elsewhere |= dict.fromkeys(own)
        else:
            everywhere |= dict.fromkeys(own)
    if not on_avr:
        return list(everywhere)
    others = "\n".join(text for text in elsewhere if text not in everywhere)
    condition, calls = style.render(CONDITION), "\n".join(on_avr)
    return [*everywhere, f"#if {condition}\n{calls}#else\n{others}#endif\n"]


def fixed_bits(policy: FixedPolicy, style: CStyle) -> frozenset[str]:
    """Return which of bits_of and float_of the `fixed_functions` call."""
    floats = (layer.layer for layer in policy.layers if not layer.integer)
    carried = any(isinstance(step, CarryFloats) for step in _all_steps(policy))
    ends = {"float_of"} if carried or style.whole_state else set()
    return frozenset({"bits_of"} | ends) | activation_bits(floats)


def has_tanh(policy: FixedPolicy) -> bool:
    """Return whether any tanh is computed in integers, by a table."""
    tanh = any(
        layer.integer and not layer.has_cells and not is_shifted(policy, index)
        for index, layer in enumerate(policy.layers)
    )
    return tanh or any(step.has_tanh for step in _all_steps(policy))


def actions_of(policy: FixedPolicy, style: CStyle) -> int | None:
    """Return the number of actions if the state is kept beside them in whole numbers, else None."""
    return policy.graph.action_size - style.state_size if style.whole_state else None


def _stays_within(policy: FixedPolicy, style: CStyle) -> bool:
    """Return whether no value of the state can exceed its limit: all are those of GRUs in the layer
    before the last, which stay where a tanh is, and their limits hold a tanh's greatest."""
    _, kept = parted(policy.layers[-1].ends, actions_of(policy, style))
    cells = [step for step in policy.layers[-2].steps if isinstance(step, Cell)]
    for part in kept:
        place = policy.graph.observation_size - style.state_size + part.row
        place -= policy.graph.action_size - style.state_size
        limits = policy.input_limit[place : place + part.count]
        of = [
            each
            for each in cells
            if each.row <= part.column and part.column + part.count <= each.row + each.units
        ]
        if not of or not of[0].stays_within(int(limits.min())):
            return False
    return True


def _called(policy: FixedPolicy, style: CStyle) -> Iterator[Step | FloatStep]:
    for layer in policy.layers:
        yield from layer.steps
        yield from parted(layer.ends, actions_of(policy, style))[0]


def _all_steps(policy: FixedPolicy) -> Iterator[Step | FloatStep]:
    for layer in policy.layers:
        yield from layer.steps
        yield from layer.ends
