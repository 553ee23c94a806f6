"""blocks: every weight is stored, and many rows are computed at a time, so that their sums stay in
registers."""

from __future__ import annotations

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings import dense
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.float_layers import FloatLayer, float_layer, float_policy
from sparsectl.export.encodings.table import Table, part_name, part_offset, row_parts
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import Layer, PolicyGraph

ROWS = 16
"""Rows a block: Cortex-M4F's 32 float registers hold their sums beside weights and a value."""

_BLOCKS = """\
/* y = weight x + bias for whole blocks of ROWS rows, column by column in each block, then for the
 * rows left over; each sum starts at its bias, columns ascending. */
static void blocks(const float *weight, const float *bias, const float *x, unsigned inputs,
                   float *y, unsigned outputs)
{
    for (; outputs >= ROWS; outputs -= ROWS) {
{% for row in range(rows) %}
        float sum{{row}} = {{POLICY}}_READ_FLOAT(bias + {{row}});
{% endfor %}
        for (unsigned i = 0; i < inputs; i++) {
            const float *const column = weight + i * ROWS;
            const float value = x[i];
{% for row in range(rows) %}
            sum{{row}} += {{POLICY}}_READ_FLOAT(column + {{row}}) * value;
{% endfor %}
        }
{% for row in range(rows) %}
        y[{{row}}] = sum{{row}};
{% endfor %}
        weight += ROWS * inputs;
        bias += ROWS;
        y += ROWS;
    }
    if (outputs > 0) {
        dense(weight, bias, x, inputs, y, outputs);
    }
}
"""


class Blocks:
    name = "blocks"
    summary = f"every weight as float32, in blocks of {ROWS} rows"
    kind: Kind = "float32"
    cores: frozenset[str] | None = None

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        layers = [float_layer(i, layer, _encode) for i, layer in enumerate(graph.layers)]
        return float_policy(self, graph, layers, _runtime)


def _runtime(style: CStyle) -> str:
    blocks = style.render(_BLOCKS, rows=ROWS)
    return f"#define ROWS {ROWS}\n\n{dense.runtime(style)}\n{blocks}"


def _encode(index: int, layer: Layer) -> FloatLayer:
    tables, calls = [], []
    blocks = np.arange(0, layer.outputs, ROWS)
    sizes = 4 * layer.inputs * np.minimum(ROWS, layer.outputs - blocks)
    parts = [
        slice(part.start * ROWS, min(part.stop * ROWS, layer.outputs)) for part in row_parts(sizes)
    ]
    for part in parts:
        name = part_name(f"layer{index}", part, parts)
        tables.append(Table(f"{name}_weight", _block_order(layer.weight[part])))
        tables.append(Table(f"{name}_bias", layer.bias[part]))
        arguments = f"{name}_weight, {name}_bias, {{x}}, {layer.inputs}"
        calls.append(f"blocks({arguments}, {{y}}{part_offset(part)}, {part.stop - part.start});")
    return FloatLayer(tuple(tables), tuple(calls))


def _block_order(weight: Float32) -> Float32:
    """Return the weights of whole blocks column by column, followed by the remaining rows one by
    one."""
    whole = len(weight) // ROWS * ROWS
    blocks = weight[:whole].reshape(-1, ROWS, weight.shape[1]).transpose(0, 2, 1)
    return np.concatenate([blocks.reshape(-1), weight[whole:].reshape(-1)])
