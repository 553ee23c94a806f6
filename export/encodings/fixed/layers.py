"""policy_act of the encodings that compute in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.encoding import EncodedPolicy, Encoding
from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.policy import FixedLayer, FixedPolicy, is_shifted
from sparsectl.export.encodings.float_layers import (
    action_lines,
    activation_call,
    activation_functions,
    limit_functions,
)
from sparsectl.export.encodings.table import Table

OBSERVE = """\
/* The observation in fixed point, round(value 2^exponent) cut off at its limit: made from the
 * float's bits, as most cores that fixed point is for have no FPU. Gives the place of a NaN, else
 * the size. */
static unsigned observe(const float *observation, VALUE *x)
{
    for (unsigned i = 0; i < POLICY_OBSERVATION_SIZE; i++) {
        const uint32_t bits = bits_of(observation[i]);
        if ((bits << 1) > 0xff000000u) {
            return i;
        }
        const VALUE size = fixed_size(bits, READ_I8(input_exponent + i),
                                      READ_I16(input_limit + i));
        x[i] = bits >> 31 ? (VALUE)-size : size;
    }
    return POLICY_OBSERVATION_SIZE;
}
"""

FIXED_SIZE = """\
static VALUE fixed_size(uint32_t bits, int exponent, int16_t limit)
{
    const int drop = 150 - exponent - (int)((bits >> 23) & 0xffu);
    const uint32_t mantissa = (bits & 0x7fffffu) | 0x800000u;
    if (drop > 24) {
        return 0;
    }
    const uint32_t size = drop < 9 ? 0xffffu : ((mantissa >> (drop - 1)) + 1u) >> 1;
    return size > (uint32_t)limit ? (VALUE)limit : (VALUE)size;
}
"""

TANH_ALL = """\
/* Sums, each a multiple of 2^-exponent, to tanh of them in multiples of 2^-15. */
static void fixed_tanh_all(const int32_t *sum, const int8_t *exponent, VALUE *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        y[i] = fixed_tanh(sum[i] >> (READ_I8(exponent + i) - FIRST_EXPONENT));
    }
}
"""

TO_FLOATS = """\
/* Sums to floats, for an activation that is not computed in whole numbers. */
static void to_floats(const int32_t *sum, const float *unit, float *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        y[i] = (float)sum[i] * POLICY_READ_FLOAT(unit + i);
    }
}
"""

TO_FIXED = """\
static void to_fixed(const float *x, const int8_t *exponent, VALUE *y, int16_t limit,
                     unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const uint32_t bits = bits_of(x[i]);
        const VALUE size = fixed_size(bits, READ_I8(exponent + i), limit);
        y[i] = bits >> 31 ? (VALUE)-size : size;
    }
}
"""


_FARTHEST_EXPONENT = 126
"""Of a power of two that is a normal float32, as is its reciprocal."""


@dataclass(frozen=True)
class FixedCode:
    """A layer's tables and the statements that compute it, with the places {x} and {y}.

    They leave the shifted and limited values in {y} where the layer is `is_shifted`, else its sums
    (of int32_t) in the array `sums`.
    """

    tables: tuple[Table, ...]
    calls: tuple[str, ...]


def fixed_encoded(
    encoding: Encoding,
    policy: FixedPolicy,
    codes: Sequence[FixedCode],
    runtime: Sequence[str],
    value_type: str = "int32_t",
) -> EncodedPolicy:
    """The whole policy.

    value_type: of the arrays {x} and {y}; in uint16_t an observation is moved up by 32768, so that
    it has no sign.
    """
    _check_exponents(encoding, policy)
    own = [table for code in codes for table in code.tables]
    tables = [*_input_tables(policy), *own]
    for index, layer in enumerate(policy.layers):
        if not is_shifted(policy, index):
            tables += _activation_tables(index, layer, index == len(policy.layers) - 1)
    return EncodedPolicy(
        encoding,
        policy.graph,
        tuple(tables + ([fixed_tanh.TABLE] if _has_tanh(policy) else [])),
        "\n".join([*_functions(policy, value_type), *runtime, *limit_functions(policy.graph)]),
        _body(policy, codes, value_type),
        policy.forward,
        input_cut_off=tuple(policy.input_limit / np.exp2(policy.input_exponent)),
    )


def _check_exponents(encoding: Encoding, policy: FixedPolicy) -> None:
    """The tables hold exponents in a signed byte and 2^-exponent as a normal float32."""
    named = [("the observation", policy.input_exponent)]
    for index, layer in enumerate(policy.layers):
        named += [(f"layer {index}", layer.exponent), (f"layer {index}", layer.value_exponent)]
    for name, exponents in named:
        far = exponents[np.abs(exponents) > _FARTHEST_EXPONENT]
        if len(far):
            raise UserError(
                f"encoding {encoding.name!r} takes values from 2^-{_FARTHEST_EXPONENT} to "
                f"2^{_FARTHEST_EXPONENT}, but those of {name} are multiples of 2^{-int(far[0])}; "
                "choose csr, or train with other units"
            )


def _input_tables(policy: FixedPolicy) -> list[Table]:
    return [
        Table("input_exponent", policy.input_exponent.astype(np.int8)),
        Table("input_limit", policy.input_limit.astype(np.int16)),
    ]


def _activation_tables(index: int, layer: FixedLayer, last: bool) -> list[Table]:
    if layer.integer:
        exponent = Table(f"layer{index}_exponent", layer.exponent.astype(np.int8))
        return [] if last else [exponent]
    unit = np.exp2(-layer.exponent.astype(np.float32)).astype(np.float32)
    tables = [Table(f"layer{index}_unit", unit)]
    if not last:
        tables.append(Table(f"layer{index}_exponent", layer.value_exponent.astype(np.int8)))
    return tables


def _has_tanh(policy: FixedPolicy) -> bool:
    return any(
        layer.integer and not is_shifted(policy, index) for index, layer in enumerate(policy.layers)
    )


def _functions(policy: FixedPolicy, value_type: str) -> list[str]:
    floats = [layer for layer in policy.layers if not layer.integer]
    functions = [FIXED_SIZE, OBSERVE]
    if _has_tanh(policy):
        functions.append(fixed_tanh.C_SOURCE)
    if any(la.integer and not is_shifted(policy, i) for i, la in enumerate(policy.layers[:-1])):
        functions += [
            TANH_ALL.replace("FIRST_EXPONENT", str(fixed_tanh.INPUT_BITS)),
        ]
    if floats:
        functions += [TO_FLOATS, *activation_functions(layer.layer for layer in floats)]
    if any(not layer.integer for layer in policy.layers[:-1]):
        functions.append(TO_FIXED)
    if value_type == "uint16_t":
        signed = "bits >> 31 ? (VALUE)-size : size"
        moved_up = "(VALUE)(bits >> 31 ? 32768u - size : 32768u + size)"
        functions = [text.replace(signed, moved_up) for text in functions]
    return [
        text.replace("VALUE ", f"{value_type} ").replace("(VALUE)", f"({value_type})")
        for text in functions
    ]


def _body(policy: FixedPolicy, codes: Sequence[FixedCode], value_type: str) -> tuple[str, ...]:
    lines = [*_arrays(policy, value_type), "", *_observe_lines()]
    x = "even"
    for index, (layer, code) in enumerate(zip(policy.layers, codes, strict=True)):
        y = "even" if index % 2 else "odd"
        lines += [call.format(x=x, y=y) for call in code.calls]
        if not is_shifted(policy, index):
            lines += _activate(index, layer, y, index == len(policy.layers) - 1)
        x = y
    return (*lines, *action_lines(policy.graph, "values"))


def _arrays(policy: FixedPolicy, value_type: str) -> list[str]:
    """Values pass to and fro between two arrays; sums and floats, where there are, have theirs."""
    last = len(policy.layers) - 1
    widths = [policy.graph.observation_size, *(la.outputs for la in policy.graph.layers[:-1])]
    sums = [la.layer.outputs for i, la in enumerate(policy.layers) if not is_shifted(policy, i)]
    floats = [la.layer.outputs for i, la in enumerate(policy.layers) if i == last or not la.integer]
    lines = [f"{value_type} even[{max(widths[0::2])}];"]
    lines += [f"{value_type} odd[{max(widths[1::2])}];"] if widths[1:] else []
    return [*lines, f"int32_t sums[{max(sums)}];", f"float values[{max(floats)}];"]


def _observe_lines() -> list[str]:
    return [
        "const unsigned seen = observe(observation, even);",
        "if (seen < POLICY_OBSERVATION_SIZE) { /* a broken input must not look like a calm one */",
        "    for (unsigned i = 0; i < POLICY_ACTION_SIZE; i++) {",
        "        action[i] = observation[seen];",
        "    }",
        "    return;",
        "}",
    ]


def _activate(index: int, layer: FixedLayer, y: str, last: bool) -> list[str]:
    outputs = layer.layer.outputs
    if layer.integer and last:
        drop = (layer.exponent - fixed_tanh.INPUT_BITS).tolist()
        tanh = [f"fixed_tanh(sums[{i}] >> {drop[i]})" for i in range(outputs)]
        return [f"values[{i}] = (float){tanh[i]} * 0x1p-15f;" for i in range(outputs)]
    if layer.integer:
        return [f"fixed_tanh_all(sums, layer{index}_exponent, {y}, {outputs});"]
    lines = [f"to_floats(sums, layer{index}_unit, values, {outputs});"]
    lines += activation_call(layer.layer, "values")
    if not last:
        lines.append(f"to_fixed(values, layer{index}_exponent, {y}, {layer.limit}, {outputs});")
    return lines
