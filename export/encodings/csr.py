"""csr: only the weights that are not 0 are stored, each with its column, and their number per
row."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.float_layers import FloatLayer, float_layer, float_policy
from sparsectl.export.encodings.table import (
    Table,
    part_name,
    part_offset,
    reader,
    row_parts,
    smallest_unsigned,
)
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import Layer, PolicyGraph

_RUNTIME = """\
/* y = weight x + bias with only the weights that are there, row by row: count[row] of them, each
 * with its column; each sum starts at its bias, columns ascending. */
typedef {{column}} {{policy}}_column;
typedef {{count}} {{policy}}_count;

static void csr(const float *weight, const {{policy}}_column *column, const {{policy}}_count *count,
                const float *bias, const float *x, float *y, unsigned outputs)
{
    for (unsigned row = 0; row < outputs; row++) {
        float sum = {{POLICY}}_READ_FLOAT(bias + row);
        for (unsigned left = {{read_count}}(count + row); left > 0; left--) {
            sum += {{POLICY}}_READ_FLOAT(weight) * x[{{read_column}}(column)];
            weight++;
            column++;
        }
        y[row] = sum;
    }
}
"""


class Csr:
    name = "csr"
    summary = "the kept weights as float32, a column of 8 or 16 bits beside each, a count a row"
    kind: Kind = "float32"
    cores: frozenset[str] | None = None

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        types = index_types(graph)

        def encode(index: int, layer: Layer) -> FloatLayer:
            return _encode(index, layer, *types)

        def runtime(style: CStyle) -> str:
            return _runtime(style, *types)

        layers = [float_layer(i, layer, encode) for i, layer in enumerate(graph.layers)]
        return float_policy(self, graph, layers, runtime)


def index_types(graph: PolicyGraph) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the type of columns and the type of counts for all layers, so that one function reads
    them."""
    columns = max(layer.weight.shape[1] - 1 for layer in graph.layers)
    counts = max(int(_counts(layer).max()) for layer in graph.layers)
    return smallest_unsigned(columns), smallest_unsigned(counts)


def _encode(
    index: int, layer: Layer, column_type: np.dtype[Any], count_type: np.dtype[Any]
) -> FloatLayer:
    tables: list[Table] = []
    calls = []
    parts = row_parts(4 * _counts(layer))
    for part in parts:
        name = part_name(f"layer{index}", part, parts)
        rows, columns = np.nonzero(layer.weight[part])  # row by row, columns ascending
        added = (
            Table(f"{name}_weight", layer.weight[part][rows, columns]),
            Table(f"{name}_column", columns.astype(column_type)),
            Table(f"{name}_count", _counts(layer)[part].astype(count_type)),
            Table(f"{name}_bias", layer.bias[part]),
        )
        arguments = ", ".join(table.name for table in added)
        outputs = part.stop - part.start
        calls.append(f"csr({arguments}, {{x}}, {{y}}{part_offset(part)}, {outputs});")
        tables += added
    return FloatLayer(tuple(tables), tuple(calls))


def _runtime(style: CStyle, column_type: np.dtype[Any], count_type: np.dtype[Any]) -> str:
    return style.render(
        _RUNTIME,
        column=f"{column_type}_t",
        count=f"{count_type}_t",
        read_column=reader(column_type),
        read_count=reader(count_type),
    )


def _counts(layer: Layer) -> np.ndarray:
    counts: np.ndarray = np.count_nonzero(layer.weight, axis=1)
    return counts
