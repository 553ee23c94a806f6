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


def within_one(graph: PolicyGraph) -> list[NDArray[np.bool_]]:
    """Return which of the observations, and of each hidden layer's values, are states of a GRU: its
    next state lies between the last one and a tanh, so that none goes beyond 1 that began within.
    """
    inputs = np.zeros(graph.observation_size, bool)
    found = [inputs]
    origin = np.arange(graph.observation_size)
    for layer in graph.layers:
        handed = np.where(carried_from(layer) >= 0, origin[carried_from(layer)], -1)
        row, results, bounded = 0, [], []
        for segment in layer.parts:
            own = handed[row : row + segment.neurons]
            row += segment.neurons
            is_gru = segment.activation in ("gru", "gru_update")
            if is_gru:
                state = own[-segment.results :]
                inputs[state[state >= 0]] = True
            is_handed = segment.activation == "identity"
            results.append(own if is_handed else np.full(segment.results, -1))
            bounded.append(np.full(segment.results, is_gru))
        origin = np.concatenate(results)
        found.append(np.concatenate(bounded))
    return found[: len(graph.layers)]


def carried_from(layer: Layer) -> NDArray[np.intp]:
    """Return [out]: the value that a neuron only passes on; -1 for other neurons."""
    one = (np.count_nonzero(layer.weight, axis=1) == 1) & (layer.bias == 0)
    one &= (layer.weight == 1).any(axis=1)
    return np.where(one, layer.weight.argmax(axis=1), -1)
