"""policy_act of the encodings that compute in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.encoding import SPOILED, Code, EncodedPolicy, Encoding, WholeNumbers
from sparsectl.export.encodings.fixed import curve
from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.float_steps import CarryFloats, parted
from sparsectl.export.encodings.fixed.functions import (
    actions_of,
    fixed_bits,
    fixed_functions,
    has_tanh,
)
from sparsectl.export.encodings.fixed.matrix import FixedMatrix, offset
from sparsectl.export.encodings.fixed.policy import FixedLayer, FixedPolicy, is_shifted, matrices
from sparsectl.export.encodings.float_layers import (
    action_lines,
    activation_call,
    limit_functions,
)
from sparsectl.export.encodings.table import Table

GROUP = 4
"""Sums that are made at a time, at most."""
_FARTHEST_EXPONENT = 126
"""Greatest exponent of a power of two that is, like its reciprocal, a normal float32."""


@dataclass(frozen=True)
class FixedCode:
    """A layer's tables and the statements that compute it, with the places {x}, {y} and {policy},
    what the names that others can see begin with.

    They leave the shifted and limited values in {y} where the layer is `is_shifted`, else its sums
    (of int32_t) in the array `sums`.
    """

    tables: tuple[Table, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True)
class ValueArrays:
    """The two arrays between which values alternate: {x} and {y}."""

    even: int
    """Size of the first."""
    odd: int
    """Size of the second; 0: a single layer needs none."""

    @classmethod
    def of(cls, policy: FixedPolicy) -> ValueArrays:
        hidden = [
            layer.layer.results if layer.has_cells else layer.layer.outputs
            for layer in policy.layers[:-1]
        ]
        widths = [policy.graph.observation_size, *hidden]
        return cls(max(widths[0::2]), max(widths[1::2], default=0))

    def declared(self, value_type: str) -> list[str]:
        even, odd = f"{value_type} even[{self.even}];", f"{value_type} odd[{self.odd}];"
        return [even, odd] if self.odd else [even]


@dataclass(frozen=True)
class FixedParts:
    """The parts of the C that differ between encodings."""

    value_type: str
    """Type of the arrays {x} and {y}; for `WITHOUT_SIGN` 32768 is added to an observation."""
    arrays: Callable[[ValueArrays], list[str]]
    """Their declarations."""
    layers: Callable[[list[str]], list[str]] = lambda statements: statements
    """The statements from the observation to the last layer's sums."""
    types: tuple[str, ...] = ()
    """Text before the functions."""
    on_avr: bool = False
    """True if the policy has a form for AVR; values are then int16_t."""
    in_assembly: Mapping[str, str] = field(default_factory=dict)
    """By the name of a cell, the C that calls its form in policy.S on AVR."""
    fewer_sums: tuple[str, int] | None = None
    """A condition of the preprocessor, and how many int32_t all sums take where it holds."""

    @classmethod
    def plain(cls, value_type: str) -> FixedParts:
        """Use two arrays of this type in turn, layer after layer."""
        return cls(value_type, lambda arrays: arrays.declared(value_type))


def fixed_encoded(
    encoding: Encoding,
    policy: FixedPolicy,
    codes: Sequence[FixedCode],
    runtime: Callable[[CStyle], Sequence[str]],
    parts: Callable[[CStyle], FixedParts] = lambda style: FixedParts.plain("int32_t"),
) -> EncodedPolicy:
    """Return the whole policy; `runtime` is the C that the layers' calls need."""
    _check_exponents(encoding, policy)
    own = [table for code in codes for table in code.tables]
    tables = [*_input_tables(policy), *own]
    for index, layer in enumerate(policy.layers):
        if not is_shifted(policy, index) and not layer.has_cells:
            tables += _activation_tables(index, layer, index == len(policy.layers) - 1)

    tanh_table = curve.TABLE if policy.layers[0].has_cells else fixed_tanh.TABLE

    def write(style: CStyle) -> Code:
        own = parts(style)
        functions = fixed_functions(
            policy,
            own.value_type,
            style,
            on_avr=own.on_avr,
            in_assembly=own.in_assembly,
        )
        functions = [*own.types, *functions, *runtime(style), *limit_functions(policy.graph)]
        return Code(
            "\n".join(functions), _body(policy, codes, own, style), fixed_bits(policy, style)
        )

    return EncodedPolicy(
        encoding,
        policy.graph,
        tuple(tables + ([tanh_table] if has_tanh(policy) else [])),
        write,
        policy.forward,
        input_cut_off=tuple(policy.input_limit / np.exp2(policy.input_exponent)),
        whole=_whole_numbers(policy),
    )


def _whole_numbers(policy: FixedPolicy) -> WholeNumbers:
    """Return what a tick takes and, where it only hands values on, gives in whole numbers."""
    last = policy.layers[-1]
    results: list[int | None] = [None] * last.layer.results
    for end in last.ends:
        if isinstance(end, CarryFloats):
            results[end.row : end.row + end.count] = [end.exponent] * end.count
    exponents, limits = policy.input_exponent.tolist(), policy.input_limit.tolist()
    return WholeNumbers(tuple(exponents), tuple(limits), tuple(results))


def _check_exponents(encoding: Encoding, policy: FixedPolicy) -> None:
    """Check the exponents: the tables hold them in a signed byte, and 2^-exponent as a normal
    float32."""
    named = [("the observation", policy.input_exponent)]
    for index, layer in enumerate(policy.layers):
        named += [(f"layer {index}", layer.exponent), (f"layer {index}", layer.value_exponent)]
    for name, exponents in named:
        far = exponents[np.abs(exponents) > _FARTHEST_EXPONENT]
        if len(far):
            raise UserError(
                f"encoding {encoding.name!r} has scales from 2^-{_FARTHEST_EXPONENT} to "
                f"2^{_FARTHEST_EXPONENT}, but {name} needs 2^{-int(far[0])}; choose csr, or train "
                "with other units"
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


def _body(
    policy: FixedPolicy, codes: Sequence[FixedCode], parts: FixedParts, style: CStyle
) -> tuple[str, ...]:
    last = len(policy.layers) - 1
    layers: list[str] = []
    x = y = read = "even"
    for index, (layer, code) in enumerate(zip(policy.layers, codes, strict=True)):
        y = "even" if index % 2 else "odd"
        layers += [call.format(x=x, y=y, policy=style.prefix) for call in code.calls]
        layers += [step.call(x, y) for step in layer.steps]
        if index < last and not layer.has_cells and not is_shifted(policy, index):
            layers += _activate(index, layer, y, False, style)
        read, x = x, y
    actions = actions_of(policy, style)
    lines = [
        *parts.arrays(ValueArrays.of(policy)),
        *_sums_and_floats(policy, actions, parts.fewer_sums),
    ]
    lines += ["", *_observe_lines(style)]
    if actions is not None:
        place = policy.graph.observation_size - style.state_size
        lines.append(f"take_state(state, {offset('even', place)});")
    lines += parts.layers(layers)
    if policy.layers[last].has_cells:
        made, kept = parted(policy.layers[last].ends, actions)
        for step in kept:
            source, target = offset(read, step.column), offset("state", step.row - (actions or 0))
            lines.append(f"keep_state({source}, {target}, {step.count});")
        lines += [line for end in made for line in end.lines(read, style)]
    else:
        lines += _activate(last, policy.layers[last], y, True, style)
    return (*lines, *action_lines(policy.graph, "values", style.literal)[:actions])


def _sums_and_floats(
    policy: FixedPolicy, actions: int | None, fewer: tuple[str, int] | None
) -> list[str]:
    """Return the declarations of the arrays of sums and of floats; `actions`: the number of the
    last layer's results that are floats, if not all."""
    last = len(policy.layers) - 1
    sums = [_sums(policy, index) for index in range(len(policy.layers))]
    floats = [la.layer.outputs for la in policy.layers[:-1] if not la.integer]
    floats.append(actions or policy.layers[last].layer.outputs)
    declared = [f"int32_t sums[{max(sums)}];"]
    if fewer:
        condition, count = fewer
        fewer_sums = f"int32_t sums[{count}];"
        declared = [f"#if {condition}", fewer_sums, "#else", *declared, "#endif"]
    return [*declared, f"float values[{max(floats)}];"]


def _sums(policy: FixedPolicy, index: int) -> int:
    """Return the room for a layer's sums. Of a layer with recurrent units, each matrix has whole
    groups of four, and those that are shifted next are among them."""
    layer = policy.layers[index]
    if not layer.has_cells:  # a convolution makes its rows at every place
        return 0 if is_shifted(policy, index) else layer.layer.outputs
    return max((_end(each) for each in matrices(policy, index)), default=1)


def _end(matrix: FixedMatrix) -> int:
    start = 0 if matrix.is_shifted else matrix.row
    return start + -(-matrix.rows // GROUP) * GROUP


def _observe_lines(style: CStyle) -> list[str]:
    observations, actions = style.tick_inputs, style.tick_results
    lines = [
        "const unsigned seen = observe(observation, even);",
        f"if (seen < {observations}) {{ /* a broken input must not look like a calm one */",
        f"    for (unsigned i = 0; i < {actions}; i++) {{",
        "        action[i] = observation[seen];",
        "    }",
        "    return;",
        "}",
    ]
    if not style.whole_state:
        return lines
    lines[1] = f"if (seen < {observations} || state[0] == {SPOILED}) {{ {lines[1].split('{ ')[1]}"
    lines[3] = "        action[i] = float_of(0x7fc00000u);"
    spoil = [
        f"    for (unsigned i = 0; i < {style.macro('STATE_SIZE')}; i++) {{",
        f"        state[i] = {SPOILED};",
        "    }",
    ]
    return [*lines[:5], *spoil, *lines[5:]]


def _activate(index: int, layer: FixedLayer, y: str, last: bool, style: CStyle) -> list[str]:
    outputs = layer.layer.outputs
    if layer.integer and last:
        drop = (layer.exponent - fixed_tanh.INPUT_BITS).tolist()
        tanh = [f"fixed_tanh(sums[{i}] >> {drop[i]})" for i in range(outputs)]
        unit = style.literal(2.0**-fixed_tanh.OUTPUT_BITS)
        return [f"values[{i}] = (float){tanh[i]} * {unit};" for i in range(outputs)]
    if layer.integer:
        return [f"fixed_tanh_all(sums, layer{index}_exponent, {y}, {outputs});"]
    lines = [f"to_floats(sums, layer{index}_unit, values, {outputs});"]
    lines += activation_call(layer.layer, "values", style.literal)
    if not last:
        results = layer.layer.results
        lines.append(f"to_fixed(values, layer{index}_exponent, {y}, {layer.limit}, {results});")
    return lines
