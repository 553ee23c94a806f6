"""dense: every weight, row by row, in a plain loop. Smallest where few weights are 0."""

from __future__ import annotations

from numpy.typing import ArrayLike

from export.activations import Float32
from export.encodings.encoding import EncodedLayer, Table
from export.graph import PolicyGraph

RUNTIME = """\
/* y = weight x + bias, the weights row by row; each sum starts at its bias, columns ascending. */
static void dense(const float *weight, const float *bias, const float *x, unsigned inputs,
                  float *y, unsigned outputs)
{
    for (unsigned row = 0; row < outputs; row++) {
        float sum = bias[row];
        for (unsigned column = 0; column < inputs; column++) {
            sum += *weight++ * x[column];
        }
        y[row] = sum;
    }
}
"""


class Dense:
    name = "dense"
    summary = "every weight as float32, row by row"

    def layers(self, graph: PolicyGraph) -> list[EncodedLayer]:
        encoded = []
        for index, layer in enumerate(graph.layers):
            tables = (
                Table(f"layer{index}_weight", layer.weight),
                Table(f"layer{index}_bias", layer.bias),
            )
            arguments = f"layer{index}_weight, layer{index}_bias, {{x}}, {layer.inputs}"
            encoded.append(EncodedLayer(tables, f"dense({arguments}, {{y}}, {layer.outputs});"))
        return encoded

    def runtime(self, graph: PolicyGraph) -> str:
        return RUNTIME

    def forward(self, graph: PolicyGraph, observation: ArrayLike) -> Float32:
        return graph.forward(observation)
