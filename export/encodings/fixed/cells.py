"""Recurrent units in a graph: whether there are some, and what their operands are made of."""

from __future__ import annotations

from dataclasses import replace

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
    groups = []
    for layer, origin in zip(graph.layers, _origins(graph), strict=True):
        handed, row = _handed(layer, origin), 0
        for segment in layer.parts:
            own = handed[row : row + segment.neurons]
            row += segment.neurons
            if segment.operands > 1:
                groups += [run for run in np.split(own, segment.operands) if (run >= 0).all()]
    return groups


def within_one(graph: PolicyGraph) -> list[NDArray[np.bool_]]:
    """Return which of the observations, and of each hidden layer's values, are states of a GRU: its
    next state lies between the last one and a tanh, so that none goes beyond 1 that began within.
    """
    inputs = np.zeros(graph.observation_size, bool)
    found = [inputs]
    for layer, origin in zip(graph.layers, _origins(graph), strict=True):
        handed, row, bounded = _handed(layer, origin), 0, []
        for segment in layer.parts:
            own = handed[row : row + segment.neurons]
            row += segment.neurons
            is_gru = segment.activation in ("gru", "gru_update")
            if is_gru:
                state = own[-segment.results :]
                inputs[state[state >= 0]] = True
            bounded.append(np.full(segment.results, is_gru))
        found.append(np.concatenate(bounded))
    return found[: len(graph.layers)]


def gru_columns(graph: PolicyGraph) -> list[NDArray[np.bool_]]:
    """Return which of the values that each layer reads are states of a GRU: the last ones, which
    were handed on to it, and those that the layer before has just made."""
    made = within_one(graph)
    return [
        np.where(origin >= 0, made[0][origin], own)
        for origin, own in zip(_origins(graph), made, strict=True)
    ]


def _origins(graph: PolicyGraph) -> list[NDArray[np.intp]]:
    """Return, for each layer, the observation that a value which it reads is, unchanged; -1 for
    others."""
    origin = np.arange(graph.observation_size)
    found = []
    for layer in graph.layers:
        found.append(origin)
        handed, row, results = _handed(layer, origin), 0, []
        for segment in layer.parts:
            own = handed[row : row + segment.neurons]
            row += segment.neurons
            is_handed = segment.activation == "identity"
            results.append(own if is_handed else np.full(segment.results, -1))
        origin = np.concatenate(results)
    return found


def _handed(layer: Layer, origin: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the observation that each neuron hands on; -1 for others."""
    carried = carried_from(layer)
    return np.where(carried >= 0, origin[carried], -1)


def carried_from(layer: Layer) -> NDArray[np.intp]:
    """Return [out]: the value that a neuron only passes on; -1 for other neurons."""
    one = (np.count_nonzero(layer.weight, axis=1) == 1) & (layer.bias == 0)
    one &= (layer.weight == 1).any(axis=1)
    return np.where(one, layer.weight.argmax(axis=1), -1)


def trimmed(part: Layer, first: int) -> tuple[Layer, int]:
    """Return neurons with the columns that they read, and the first of those; `first`: that of the
    columns that are given."""
    used = np.flatnonzero(part.weight.any(axis=0))
    start, stop = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    return replace(part, weight=part.weight[:, start:stop]), first + start
