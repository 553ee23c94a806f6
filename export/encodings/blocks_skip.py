"""blocks-skip: every weight is stored, and many rows are computed at a time, only for values that
are not 0.

A layer's values are kept as those that are not 0, in order, and their places; relu, which makes
about half of them 0, and the choice are one step. On Cortex-M4F in assembly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly import cortex_m4f_blocks
from sparsectl.export.encodings.encoding import Code, EncodedPolicy, Kind
from sparsectl.export.encodings.float_layers import (
    action_lines,
    activation_bits,
    activation_call,
    activation_functions,
    limit_functions,
)
from sparsectl.export.encodings.places import described, function_name, places_loop
from sparsectl.export.encodings.table import Table, part_name, row_parts
from sparsectl.policy.activations import Float32
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph

ROWS = 16
"""Rows a block in C, so that their sums stay in registers."""

_ACTIVE = """\
/* The values that are not 0, as a 0 adds nothing to a sum, and their places; y may be x. */
static unsigned active(const float *x, unsigned n, float *y, unsigned *place)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++) {
        if (x[i] != 0.0f) {
            y[count] = x[i];
            place[count] = i;
            count++;
        }
    }
    return count;
}
"""

_DECLARATION = """\
/* Rows of weight, stored column by column, times the `count` values x of the columns at `at`; each
 * sum starts at its bias, columns ascending. Returns how many values of y it wrote: with a `place`
 * those that relu leaves, and their places from `first` on, else all sums. Written in \
{{policy}}.S. */
unsigned {{policy}}_blocks(const float *weight, const float *bias, unsigned rows, const float *x,
                       const unsigned *at, unsigned count, float *y, unsigned *place,
                       unsigned first);
"""

_C_FORM = """\
static unsigned finish(const float *sum, unsigned rows, float *y, unsigned *place, unsigned first)
{
    unsigned written = 0;
    for (unsigned row = 0; row < rows; row++) {
        if (place == 0) {
            y[written++] = sum[row];
        } else if (!(sum[row] <= 0.0f)) {
            place[written] = first + row;
            y[written++] = sum[row];
        }
    }
    return written;
}

/* Rows of weight, stored column by column, times the `count` values x of the columns at `at`; each
 * sum starts at its bias, columns ascending. Returns how many values of y it wrote: with a `place`
 * those that relu leaves, and their places from `first` on, else all sums. */
static unsigned {{policy}}_blocks(const float *weight, const float *bias, unsigned rows,
                              const float *x, const unsigned *at, unsigned count, float *y,
                              unsigned *place, unsigned first)
{
    unsigned written = 0;
    for (unsigned row = 0; row < rows;) {
        const unsigned block = rows - row < ROWS ? 1 : ROWS;
        float sum[ROWS];
        if (block == ROWS) {
{% for row in range(rows) %}
            float sum{{row}} = {{POLICY}}_READ_FLOAT(bias + row + {{row}});
{% endfor %}
            for (unsigned i = 0; i < count; i++) {
                const float *const column = weight + at[i] * rows + row;
                const float value = x[i];
{% for row in range(rows) %}
                sum{{row}} += {{POLICY}}_READ_FLOAT(column + {{row}}) * value;
{% endfor %}
            }
{% for row in range(rows) %}
            sum[{{row}}] = sum{{row}};
{% endfor %}
        } else {
            sum[0] = {{POLICY}}_READ_FLOAT(bias + row);
            for (unsigned i = 0; i < count; i++) {
                sum[0] += {{POLICY}}_READ_FLOAT(weight + at[i] * rows + row) * x[i];
            }
        }
        unsigned *const places = place == 0 ? 0 : place + written;
        written += finish(sum, block, y + written, places, first + row);
        row += block;
    }
    return written;
}
"""


class BlocksSkip:
    """The encoding blocks-skip; the time of a call depends on the observation."""

    name = "blocks-skip"
    summary = "every weight as float32, in blocks of rows; values of 0 are skipped"
    kind: Kind = "float32"
    cores: frozenset[str] | None = None

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        graph = _without_negative_zero(graph)
        parts = [_parts(layer) for layer in graph.layers]
        applied = [each for each in graph.layers if not _is_gathered(graph, each)]

        def write(style: CStyle) -> Code:
            activations = activation_functions(applied, style.literal)
            functions = [_runtime(graph, style), *activations, *limit_functions(graph)]
            return Code("\n".join(functions), _body(graph, style), activation_bits(applied))

        def assembly(style: CStyle) -> str:
            return cortex_m4f_blocks.assembly(sizes, style)

        sizes = {part.stop - part.start for layer in parts for part in layer}
        return EncodedPolicy(
            self,
            graph,
            tuple(table for i, layer in enumerate(graph.layers) for table in _tables(i, layer)),
            write,
            graph.forward,
            assembly,
        )


def _without_negative_zero(graph: PolicyGraph) -> PolicyGraph:
    """Return the graph with +0 in place of biases of -0: a sum that starts at -0 would stay -0
    where the +0 of a skipped value is not added."""
    positive = [replace(layer, bias=layer.bias + np.float32(0)) for layer in graph.layers]
    return replace(graph, layers=tuple(positive))


def _is_gathered(graph: PolicyGraph, layer: Layer) -> bool:
    """Return whether policy_blocks applies the layer's ReLU and selects the values that are not
    0."""
    return layer.activation == "relu" and layer is not graph.layers[-1] and _is_chosen(graph, layer)


def _is_chosen(graph: PolicyGraph, layer: Layer) -> bool:
    """Return whether those of the layer's values that are not 0 are selected. A convolution after
    it reads all of them instead, and selects in each patch."""
    after = graph.layers.index(layer) + 1
    return after == len(graph.layers) or graph.layers[after].convolution is None


def _runtime(graph: PolicyGraph, style: CStyle) -> str:
    policy_blocks = (
        f"#if {style.render(cortex_m4f_blocks.CONDITION)}\n{style.render(_DECLARATION)}"
        f"#else\n#define ROWS {ROWS}\n\n{style.render(_C_FORM, rows=ROWS)}#endif\n"
    )
    convolutions = [
        _at_places(index, layer, layer.convolution, style)
        for index, layer in enumerate(graph.layers)
        if layer.convolution
    ]
    chosen = [layer for layer in graph.layers if not layer.convolution]
    return "\n".join([*([_ACTIVE] if chosen else []), policy_blocks, *convolutions])


def _at_places(index: int, layer: Layer, convolution: Convolution, style: CStyle) -> str:
    parts, rows = _parts(layer), len(layer.bias)
    lines = [
        f"float patch[{convolution.patch_size}];",
        f"unsigned at[{convolution.patch_size}];",
        "unsigned written = 0;",
        "unsigned first = 0;",
        "",
    ]

    def take(value: str) -> list[str]:
        return [
            f"const float value = {value};",
            "if (value != 0.0f) {",
            "    patch[count] = value;",
            "    at[count] = p;",
            "    count++;",
            "}",
            "p++;",
        ]

    blocks, work = style.name("blocks"), []
    indent = " " * len("written += policy_blocks(")
    for part in parts:
        name = part_name(f"layer{index}", part, parts)
        first = f"first + {part.start}" if part.start else "first"
        work += [
            f"written += {blocks}({name}_weight, {name}_bias, {part.stop - part.start},",
            f"{indent}patch, at, count, y + written,",
            f"{indent}place == 0 ? 0 : place + written, {first});",
        ]
    lines += places_loop(
        convolution,
        "unsigned p = 0, count = 0;",
        take,
        [*work, f"first += {rows};"],
    )
    body = "".join(f"    {line}".rstrip() + "\n" for line in [*lines, "return written;"])
    head = f"static unsigned {function_name(index)}(const float *x, float *y, unsigned *place)"
    return f"{described(layer, convolution)}{head}\n{{\n{body}}}\n"


def _body(graph: PolicyGraph, style: CStyle) -> tuple[str, ...]:
    """Return the body of policy_act: layers alternate between two pairs of arrays on the stack."""
    literal = style.literal
    inputs = 0 if graph.layers[0].convolution else graph.layers[0].inputs
    widths = [inputs, *(layer.outputs for layer in graph.layers)]
    placed = {"odd" if (index + 1) % 2 else "even" for index in _with_places(graph)}
    lines = []
    for name, most in (("even", max(widths[0::2])), ("odd", max(widths[1::2]))):
        lines += [f"float {name}[{most}];"] if most else []
        lines += [f"unsigned {name}_place[{most}];"] if name in placed else []
    lines += ["unsigned count;"] if placed else []
    lines += (
        ["unsigned written;"] if any(_is_gathered(graph, each) for each in graph.layers) else []
    )
    lines.append("")
    if inputs:
        lines.append(f"count = active(observation, {inputs}, even, even_place);")
    for index, layer in enumerate(graph.layers):
        x, y = ("odd", "even") if index % 2 else ("even", "odd")
        lines += _layer(graph, index, x if index else "observation", y, style)
        if _is_gathered(graph, layer):
            lines.append("count = written;")
        elif layer is not graph.layers[-1]:
            lines += activation_call(layer, y, literal)
            if _is_chosen(graph, layer):
                lines.append(f"count = active({y}, {layer.results}, {y}, {y}_place);")
    lines += activation_call(graph.layers[-1], y, literal)
    return (*lines, *action_lines(graph, y, literal))


def _with_places(graph: PolicyGraph) -> list[int]:
    """Return the layers whose values are selected where they are not 0; -1 stands for the
    observation."""
    hidden = [i for i, each in enumerate(graph.layers[:-1]) if _is_chosen(graph, each)]
    return hidden if graph.layers[0].convolution else [-1, *hidden]


def _layer(graph: PolicyGraph, index: int, x: str, y: str, style: CStyle) -> list[str]:
    """Return the calls for the parts of a layer, which write their values one after another."""
    layer = graph.layers[index]
    gathered = _is_gathered(graph, layer)
    if layer.convolution:
        place = f"{y}_place" if gathered else "0"
        call = f"{function_name(index)}({x}, {y}, {place});"
        return [f"written = {call}" if gathered else f"(void){call}"]
    x = "even" if x == "observation" else x
    parts = _parts(layer)
    lines = []
    for part in parts:
        name = part_name(f"layer{index}", part, parts)
        offset = (" + written" if gathered else f" + {part.start}") if part.start else ""
        blocks, rows = style.name("blocks"), part.stop - part.start
        call = f"{blocks}({name}_weight, {name}_bias, {rows}, {x},"
        assigned = ("written += " if part.start else "written = ") if gathered else ""
        place = f"{y}_place{offset}" if gathered else "0"
        lines.append(assigned + call)
        lines.append(f"    {x}_place, count, {y}{offset}, {place}, {part.start});")
    return lines


def _tables(index: int, layer: Layer) -> list[Table]:
    tables = []
    parts = _parts(layer)
    for part in parts:
        name = part_name(f"layer{index}", part, parts)
        tables.append(Table(f"{name}_weight", np.ascontiguousarray(layer.weight[part].T)))
        tables.append(Table(f"{name}_bias", layer.bias[part]))
    return tables


def _parts(layer: Layer) -> list[slice]:
    """Return slices of rows, each of whole blocks of the assembly."""
    block = cortex_m4f_blocks.ROWS
    outputs, inputs = layer.weight.shape
    starts = np.arange(0, outputs, block)
    sizes = 4 * inputs * np.minimum(block, outputs - starts)
    return [slice(part.start * block, min(part.stop * block, outputs)) for part in row_parts(sizes)]
