"""dense: every weight is stored row by row and read in a plain loop. It is smallest if few weights
are 0."""

from __future__ import annotations

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.float_layers import FloatLayer, float_layer, float_policy
from sparsectl.export.encodings.table import Table, part_name, part_offset, row_parts
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import Layer, PolicyGraph

_RUNTIME = """\
/* y = weight x + bias, the weights row by row; each sum starts at its bias, columns ascending. */
static void dense(const float *weight, const float *bias, const float *x, unsigned inputs,
                  float *y, unsigned outputs)
{
    for (unsigned row = 0; row < outputs; row++) {
        float sum = {{POLICY}}_READ_FLOAT(bias + row);
        for (unsigned column = 0; column < inputs; column++) {
            sum += {{POLICY}}_READ_FLOAT(weight) * x[column];
            weight++;
        }
        y[row] = sum;
    }
}
"""


def runtime(style: CStyle) -> str:
    """Return the C of the function `dense`."""
    return style.render(_RUNTIME)


class Dense:
    name = "dense"
    summary = "every weight as float32, row by row"
    kind: Kind = "float32"
    cores: frozenset[str] | None = None

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        layers = [float_layer(i, layer, _encode) for i, layer in enumerate(graph.layers)]
        return float_policy(self, graph, layers, runtime)


def _encode(index: int, layer: Layer) -> FloatLayer:
    tables, calls = [], []
    parts = row_parts(np.full(layer.outputs, 4 * layer.inputs))
    for part in parts:
        name = part_name(f"layer{index}", part, parts)
        tables.append(Table(f"{name}_weight", layer.weight[part]))
        tables.append(Table(f"{name}_bias", layer.bias[part]))
        rows = part.stop - part.start
        arguments = f"{name}_weight, {name}_bias, {{x}}, {layer.inputs}"
        calls.append(f"dense({arguments}, {{y}}{part_offset(part)}, {rows});")
    return FloatLayer(tuple(tables), tuple(calls))
