"""Recurrent units in a graph: whether there are some, and what their operands are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.activations.recurrent import CELLS
from sparsectl.policy.graph import Layer, PolicyGraph


def has_cells(graph: PolicyGraph) -> bool:
    """Return whether there are recurrent units."""
    return any(name in CELLS for layer in graph.layers for name in layer.activations)


def state_groups(graph: PolicyGraph) -> list[NDArray[np.intp]]:
    """Return the observations that one operand of a cell takes unchanged; they need one common
    scale."""
    origin = np.arange(graph.observation_size)
    groups = []
    for layer in graph.layers:
        carried = carried_from(layer)
        handed = np.where(carried >= 0, origin[carried], -1)
        results, row = [], 0
        for segment in layer.parts:
            own = handed[row : row + segment.neurons]
            row += segment.neurons
            if segment.operands > 1:
                groups += [run for run in np.split(own, segment.operands) if (run >= 0).all()]
                own = np.full(segment.results, -1)
            elif segment.activation != "identity":
                own = np.full(segment.results, -1)
            results.append(own)
        origin = np.concatenate(results)
    return groups


def carried_from(layer: Layer) -> NDArray[np.intp]:
    """Return [out]: the value that a neuron only passes on; -1 for other neurons."""
    one = (np.count_nonzero(layer.weight, axis=1) == 1) & (layer.bias == 0)
    one &= (layer.weight == 1).any(axis=1)
    return np.where(one, layer.weight.argmax(axis=1), -1)
