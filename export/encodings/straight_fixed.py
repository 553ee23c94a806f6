"""straight-int16 and straight-int8: the network is written out in whole numbers, with the weights
in the instruction stream."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly import avr_straight
from sparsectl.export.encodings.assembly.avr_stream import CONDITION
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.fixed.format import Format
from sparsectl.export.encodings.fixed.layers import (
    FixedCode,
    FixedParts,
    fixed_encoded,
)
from sparsectl.export.encodings.fixed.matrix import FixedMatrix, offset
from sparsectl.export.encodings.fixed.obq import policy_in
from sparsectl.export.encodings.fixed.policy import FixedPolicy, matrices
from sparsectl.export.encodings.straight import APART, braces, check_size
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph

_SATURATE = """\
#if defined(__ARM_FEATURE_SAT) && !defined({{POLICY}}_NO_ASSEMBLY)
#include <arm_acle.h>
#endif
"""

_POSITIVE = """\
/* A hidden value from its sum: shifted, and 0 for one under 0. */
static int32_t positive(int32_t sum)
{
#if defined(__ARM_FEATURE_SAT) && !defined({{POLICY}}_NO_ASSEMBLY)
    return (int32_t)__usat(sum >> SHIFT, 16);
#else
    return (sum & ~(sum >> 31)) >> SHIFT;
#endif
}
"""

_CUT_OFF = """\
/* The same, cut off at {{bits}} bits. */
static int32_t positive_{{bits}}_bits(int32_t sum)
{
#if defined(__ARM_FEATURE_SAT) && !defined({{POLICY}}_NO_ASSEMBLY)
    return (int32_t)__usat(sum >> SHIFT, {{bits}});
#else
    const int32_t value = (sum & ~(sum >> 31)) >> SHIFT;
    return value >> {{bits}} ? {{limit}} : value;
#endif
}
"""

_BOTH_SIDES = """\
/* A hidden value from its sum: shifted, and cut off on both sides at {{bits}} bits. */
static int32_t limited_{{bits}}_bits(int32_t sum)
{
    const int32_t limit = {{limit}};
    const int32_t value = sum >> SHIFT;
    return value > limit ? limit : (value < -limit ? -limit : value);
}
"""

_EITHER_LAYERS = """\
#if {{condition}}
/* All layers; written out in {{policy}}.S. */
void {{policy}}_layers(const int16_t *x, int32_t *sums);
#else
{{c_form}}#endif
"""


class StraightFixed:
    """A straight encoding in whole numbers, with one statement per weight."""

    cores: frozenset[str] | None = None

    def __init__(self, name: str, kind: Kind, summary: str, form: Format) -> None:
        self.name = name
        self.kind: Kind = kind
        self.summary = summary
        self._form = form

    def encode(
        self, graph: PolicyGraph, observations: Float32, *, are_met: bool = False
    ) -> EncodedPolicy:
        check_size(self.name, graph)
        policy = policy_in(self._form, graph, observations, are_met)
        codes = []
        for index in range(len(policy.layers)):
            calls = [
                f"{each.name}({each.reads()}, "
                f"{offset('{y}' if each.is_shifted else 'sums', each.row)});"
                for each in matrices(policy, index)
            ]
            codes.append(FixedCode((), tuple(calls)))
        if not (self._form.sum_bits == 24 and avr_straight.serves(policy)):
            return fixed_encoded(self, policy, codes, lambda style: [_c_form(policy, style)])
        return _with_assembly(self, policy, codes)


def _c_form(policy: FixedPolicy, style: CStyle) -> str:
    """Return one function per layer, with the functions that these call."""
    helpers: dict[str, str] = {}
    layers = []
    for index in range(len(policy.layers)):
        for matrix in matrices(policy, index):
            names, functions = _value_functions(matrix, style)
            helpers |= functions
            layers.append(_layer(matrix, names))
    shift = [style.render(_SATURATE), f"#define SHIFT {policy.shift}\n"] if helpers else []
    return "\n".join([*shift, APART, *helpers.values(), *layers])


def _with_assembly(
    encoding: StraightFixed, policy: FixedPolicy, codes: list[FixedCode]
) -> EncodedPolicy:
    """Return the encoded policy with all layers in one function of policy.S on AVR, where values
    have 16 bits."""

    def runtime(style: CStyle) -> list[str]:
        c_form = _c_form(policy, style)
        return [style.render(_EITHER_LAYERS, condition=style.render(CONDITION), c_form=c_form)]

    def parts(style: CStyle) -> FixedParts:
        condition = f"#if {style.render(CONDITION)}"
        value, layers = style.name("value"), style.name("layers")
        types = f"typedef int16_t {value};\n#else\ntypedef int32_t {value};\n#endif\n"
        inputs = f"{value} even[{policy.graph.observation_size}];"
        return FixedParts(
            value,
            lambda arrays: [condition, inputs, "#else", *arrays.declared(value), "#endif"],
            lambda lines: [condition, f"{layers}(even, sums);", "#else", *lines, "#endif"],
            (f"{condition}\n{types}",),
        )

    encoded = fixed_encoded(encoding, policy, codes, runtime, parts)
    return replace(encoded, assembly=partial(avr_straight.assembly, policy), reentrant=False)


def _value_functions(matrix: FixedMatrix, style: CStyle) -> tuple[list[str], dict[str, str]]:
    """Return the name of the function from each neuron's sum to its value (empty if the sum itself
    is passed on), and the C of these functions by their names."""
    if not matrix.is_shifted or matrix.greatest is None:
        return [""] * matrix.rows, {}
    bits = matrix.limit.bit_length()
    cut, source = f"positive_{bits}_bits", _CUT_OFF
    if not matrix.is_relu:
        cut, source = f"limited_{bits}_bits", _BOTH_SIDES
        names = [cut] * matrix.rows
    else:
        names = [cut if over else "positive" for over in (matrix.greatest > matrix.limit).tolist()]
    cut_off = style.render(source, bits=bits, limit=matrix.limit)
    texts = {"positive": style.render(_POSITIVE), cut: cut_off}
    return names, {name: texts[name] for name in dict.fromkeys(names)}


def _layer(matrix: FixedMatrix, value_functions: list[str]) -> str:
    lines = ["int32_t sum;", ""]
    if not matrix.weight.any():
        lines.append("(void)x;")
    for row, function in enumerate(value_functions):
        lines.append(f"sum = {matrix.bias[row]};")
        columns = matrix.weight[row].nonzero()[0]
        lines += [_product(int(matrix.weight[row, j]), j) for j in columns]
        lines.append(f"y[{row}] = {function}(sum);" if function else f"y[{row}] = sum;")
    return f"static APART void {matrix.name}(const int32_t *x, int32_t *y)\n{braces(lines)}"


def _product(weight: int, column: int) -> str:
    sign, size = ("+", weight) if weight > 0 else ("-", -weight)
    return f"sum {sign}= {size} * x[{column}];"


STRAIGHT_INT16 = StraightFixed(
    "straight-int16",
    "int16",
    "16-bit weights as constants in code without loops",
    Format((32767,), 32, (15,)),
)
STRAIGHT_INT8 = StraightFixed(
    "straight-int8",
    "int8",
    "8-bit weights and their sign as constants in code without loops",
    Format((255,), 24, (8,)),
)
