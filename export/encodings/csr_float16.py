"""csr-float16: as csr, with each weight in the 16 bits of IEEE 754's binary16."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.csr import index_types
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.float_layers import FloatLayer, float_layer, float_policy
from sparsectl.export.encodings.table import (
    Table,
    part_name,
    part_offset,
    reader,
    row_parts,
)
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import Layer, PolicyGraph

_RUNTIME = """\
#define FLOAT_EXPONENT(e) ((uint32_t)(e) << 23)

/* The float of a binary16, exactly: exponents of 5 bits begin at -15, those of 8 at -127. A
 * subnormal is shifted until its leading 1 stands where the exponent begins; no weight is 0. */
static float from_half(uint16_t half)
{
    const uint32_t high = (uint32_t)half << 16; /* on 8 bits quicker than << 13 */
    uint32_t magnitude = (high & 0x7FFF0000u) >> 3;
    uint32_t bits = FLOAT_EXPONENT(127 - 15);

    for (; magnitude < FLOAT_EXPONENT(1); magnitude <<= 1) {
        bits -= FLOAT_EXPONENT(1);
    }
    bits = (bits + magnitude) | (high & 0x80000000u);
    return float_of(bits);
}

/* y = weight x + bias with only the weights that are there, row by row: count[row] of them, each
 * with its column; each sum starts at its bias, columns ascending. */
static void csr_half(const uint16_t *weight, const {{column}} *column, const {{count}} *count,
                     const float *bias, const float *x, float *y, unsigned outputs)
{
    for (unsigned row = 0; row < outputs; row++) {
        float sum = {{POLICY}}_READ_FLOAT(bias + row);
        for (unsigned left = {{read_count}}(count + row); left > 0; left--) {
            sum += from_half(READ_U16(weight)) * x[{{read_column}}(column)];
            weight++;
            column++;
        }
        y[row] = sum;
    }
}
"""


class CsrFloat16:
    name = "csr-float16"
    summary = "the kept weights as float16, a column of 8 or 16 bits beside each, a count a row"
    kind: Kind = "float16"
    cores: frozenset[str] | None = None

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        rounded = self._rounded(graph)
        column, count = index_types(rounded)

        def encode(index: int, layer: Layer) -> FloatLayer:
            return _encode(index, layer, column, count)

        def runtime(style: CStyle) -> str:
            return style.render(
                _RUNTIME,
                column=f"{column}_t",
                count=f"{count}_t",
                read_column=reader(column),
                read_count=reader(count),
            )

        layers = [float_layer(i, layer, encode) for i, layer in enumerate(rounded.layers)]
        return float_policy(self, graph, layers, runtime, rounded, frozenset({"float_of"}))

    def _rounded(self, graph: PolicyGraph) -> PolicyGraph:
        """Return the weights rounded to the nearest float16, ties to even; those that become 0 are
        left out."""
        layers = []
        for index, layer in enumerate(graph.layers):
            halves = _halves(layer.weight)
            over = layer.weight[np.isinf(halves)]
            if over.size:
                raise UserError(
                    f"encoding {self.name!r} takes weights within ±65504, but layer {index} has "
                    f"{over[0]:g}; train with smaller ones or choose csr"
                )
            layers.append(replace(layer, weight=halves.astype(np.float32)))
        return replace(graph, layers=tuple(layers))


def _halves(weight: Float32) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return weight.astype(np.float16)


def _encode(
    index: int, layer: Layer, column_type: np.dtype[Any], count_type: np.dtype[Any]
) -> FloatLayer:
    tables: list[Table] = []
    calls = []
    counts = np.count_nonzero(layer.weight, axis=1)
    parts = row_parts(2 * counts)
    for part in parts:
        name = part_name(f"layer{index}", part, parts)
        rows, columns = np.nonzero(layer.weight[part])  # row by row, columns ascending
        added = (
            Table(f"{name}_weight", _halves(layer.weight[part][rows, columns]).view(np.uint16)),
            Table(f"{name}_column", columns.astype(column_type)),
            Table(f"{name}_count", counts[part].astype(count_type)),
            Table(f"{name}_bias", layer.bias[part]),
        )
        arguments = ", ".join(table.name for table in added)
        outputs = part.stop - part.start
        calls.append(f"csr_half({arguments}, {{x}}, {{y}}{part_offset(part)}, {outputs});")
        tables += added
    return FloatLayer(tuple(tables), tuple(calls))
