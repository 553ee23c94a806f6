"""csr: only the weights that are there, each with its column; a count of them a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from export.activations import Float32
from export.encodings.encoding import EncodedLayer, Table, smallest_unsigned
from export.graph import Layer, PolicyGraph

RUNTIME = """\
/* y = weight x + bias with only the weights that are there, row by row: count[row] of them, each
 * with its column; each sum starts at its bias, columns ascending. */
typedef COLUMN policy_column;
typedef COUNT policy_count;

static void csr(const float *weight, const policy_column *column, const policy_count *count,
                const float *bias, const float *x, float *y, unsigned outputs)
{
    for (unsigned row = 0; row < outputs; row++) {
        float sum = bias[row];
        for (unsigned left = count[row]; left > 0; left--) {
            sum += *weight++ * x[*column++];
        }
        y[row] = sum;
    }
}
"""


class Csr:
    name = "csr"
    summary = "the kept weights as float32, a column of 8 or 16 bits beside each, a count a row"

    def layers(self, graph: PolicyGraph) -> list[EncodedLayer]:
        column_type, count_type = _index_types(graph)
        encoded = []
        for index, layer in enumerate(graph.layers):
            rows, columns = np.nonzero(layer.weight)  # row by row, columns ascending
            tables = (
                Table(f"layer{index}_weight", layer.weight[rows, columns]),
                Table(f"layer{index}_column", columns.astype(column_type)),
                Table(f"layer{index}_count", _counts(layer).astype(count_type)),
                Table(f"layer{index}_bias", layer.bias),
            )
            names = ", ".join(table.name for table in tables)
            encoded.append(EncodedLayer(tables, f"csr({names}, {{x}}, {{y}}, {layer.outputs});"))
        return encoded

    def runtime(self, graph: PolicyGraph) -> str:
        column_type, count_type = _index_types(graph)
        runtime = RUNTIME.replace("COLUMN", f"{column_type.name}_t")
        return runtime.replace("COUNT", f"{count_type.name}_t")

    def forward(self, graph: PolicyGraph, observation: ArrayLike) -> Float32:
        return graph.forward(observation)


def _counts(layer: Layer) -> np.ndarray:
    counts: np.ndarray = np.count_nonzero(layer.weight, axis=1)
    return counts


def _index_types(graph: PolicyGraph) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """One type of columns and one of counts for all layers, so that one function reads them."""
    columns = max(layer.inputs - 1 for layer in graph.layers)
    counts = max(int(_counts(layer).max()) for layer in graph.layers)
    return smallest_unsigned(columns), smallest_unsigned(counts)
