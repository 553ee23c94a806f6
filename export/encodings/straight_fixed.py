"""straight in whole numbers: the network written out, the weights in the instruction stream."""

from __future__ import annotations

from dataclasses import replace

from sparsectl.export.encodings.assembly import avr_straight
from sparsectl.export.encodings.assembly.avr_stream import CONDITION
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.fixed.layers import (
    FixedCode,
    FixedParts,
    ValueArrays,
    fixed_encoded,
)
from sparsectl.export.encodings.fixed.obq import policy_in
from sparsectl.export.encodings.fixed.policy import FixedLayer, FixedPolicy, is_shifted
from sparsectl.export.encodings.fixed.scales import Format
from sparsectl.export.encodings.straight import APART, braces, check_size
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph

_SATURATE = """\
#if defined(__ARM_FEATURE_SAT) && !defined(POLICY_NO_ASSEMBLY)
#include <arm_acle.h>
#endif
"""

_POSITIVE = """\
/* A hidden value from its sum: shifted, and 0 for one under 0. */
static int32_t positive(int32_t sum)
{
#if defined(__ARM_FEATURE_SAT) && !defined(POLICY_NO_ASSEMBLY)
    return (int32_t)__usat(sum >> SHIFT, 16);
#else
    return (sum & ~(sum >> 31)) >> SHIFT;
#endif
}
"""

_CUT_OFF = """\
/* The same, cut off at BITS bits. */
static int32_t positive_BITS_bits(int32_t sum)
{
#if defined(__ARM_FEATURE_SAT) && !defined(POLICY_NO_ASSEMBLY)
    return (int32_t)__usat(sum >> SHIFT, BITS);
#else
    const int32_t value = (sum & ~(sum >> 31)) >> SHIFT;
    return value >> BITS ? LIMIT : value;
#endif
}
"""

_BOTH_SIDES = """\
/* A hidden value from its sum: shifted, and cut off on both sides at BITS bits. */
static int32_t limited_BITS_bits(int32_t sum)
{
    const int32_t limit = LIMIT;
    const int32_t value = sum >> SHIFT;
    return value > limit ? limit : (value < -limit ? -limit : value);
}
"""


class StraightFixed:
    """A statement a weight."""

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
        helpers: dict[str, str] = {}
        codes, layers = [], []
        for index in range(len(policy.layers)):
            functions = _value_functions(policy, index)
            helpers |= functions[1]
            layers.append(_layer(index, policy.layers[index], functions[0]))
            target = "{y}" if is_shifted(policy, index) else "sums"
            codes.append(FixedCode((), (f"layer{index}({{x}}, {target});",)))
        shift = [_SATURATE, f"#define SHIFT {policy.shift}\n"] if helpers else []
        c_form = "\n".join([*shift, APART, *helpers.values(), *layers])
        if not (self._form.sum_bits == 24 and avr_straight.serves(policy)):
            return fixed_encoded(self, policy, codes, [c_form])
        return _with_assembly(self, policy, codes, c_form)


def _with_assembly(
    encoding: StraightFixed, policy: FixedPolicy, codes: list[FixedCode], c_form: str
) -> EncodedPolicy:
    """The same with all layers in one function of policy.S on AVR, where values have 16 bits."""
    condition = f"#if {CONDITION}"
    declaration = "/* All layers; written out in policy.S. */"
    runtime = (
        f"{condition}\n{declaration}\nvoid policy_layers(const int16_t *x, int32_t *sums);\n"
        f"#else\n{c_form}#endif\n"
    )
    types = "typedef int16_t policy_value;\n#else\ntypedef int32_t policy_value;\n#endif\n"
    inputs = f"policy_value even[{policy.graph.observation_size}];"

    def arrays(values: ValueArrays) -> list[str]:
        return [condition, inputs, "#else", *values.declared("policy_value"), "#endif"]

    def layers(statements: list[str]) -> list[str]:
        return [condition, "policy_layers(even, sums);", "#else", *statements, "#endif"]

    parts = FixedParts("policy_value", arrays, layers, (f"{condition}\n{types}",))
    encoded = fixed_encoded(encoding, policy, codes, [runtime], parts)
    return replace(encoded, assembly=avr_straight.assembly(policy), reentrant=False)


def _value_functions(policy: FixedPolicy, index: int) -> tuple[list[str], dict[str, str]]:
    """The function from each neuron's sum to its value (empty where the sum itself goes on), and
    those functions' C by their names."""
    layer = policy.layers[index]
    outputs = layer.layer.outputs
    if not is_shifted(policy, index):
        return [""] * outputs, {}
    bits = str(layer.limit.bit_length())
    cut, source = f"positive_{bits}_bits", _CUT_OFF
    if layer.layer.activation == "identity":
        cut, source = f"limited_{bits}_bits", _BOTH_SIDES
        names = [cut] * outputs
    else:
        names = [cut if over else "positive" for over in (layer.greatest > layer.limit).tolist()]
    cut_off = source.replace("BITS", bits).replace("LIMIT", str(layer.limit))
    texts = {"positive": _POSITIVE, cut: cut_off}
    return names, {name: texts[name] for name in dict.fromkeys(names)}


def _layer(index: int, layer: FixedLayer, value_functions: list[str]) -> str:
    lines = ["int32_t sum;", ""]
    if not layer.weight.any():
        lines.append("(void)x;")
    for row, function in enumerate(value_functions):
        lines.append(f"sum = {layer.bias[row]};")
        lines += [_product(int(layer.weight[row, j]), j) for j in layer.weight[row].nonzero()[0]]
        lines.append(f"y[{row}] = {function}(sum);" if function else f"y[{row}] = sum;")
    return f"static APART void layer{index}(const int32_t *x, int32_t *y)\n{braces(lines)}"


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
