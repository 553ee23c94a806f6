"""Passes: PolicyGraph in, PolicyGraph out, the same function of the physical observation.

A pass works in float64 and rounds once, so a graph before and after it differ by rounding only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparsectl.export.graph import Layer, PolicyGraph


def simplify(graph: PolicyGraph) -> PolicyGraph:
    """All the passes that every export takes, in order."""
    return eliminate_dead_neurons(merge_duplicate_neurons(fold_normaliser(graph)))


def hidden_neurons(graph: PolicyGraph) -> int:
    return sum(layer.outputs for layer in graph.layers[:-1])


def fold_normaliser(graph: PolicyGraph) -> PolicyGraph:
    """Move the observation's normaliser into layer 0: W (x - o) / s + b = (W/s) x + (b - (W/s) o).

    The observation signals keep their names, units and limits; scale becomes 1 and offset 0.
    """
    if graph.is_folded:
        return graph
    first = graph.layers[0]
    weight = first.weight / graph.observation_scale
    bias = first.bias - weight @ graph.observation_offset
    folded = replace(first, weight=_float32(weight), bias=_float32(bias))
    observation = tuple(replace(s, scale=1.0, offset=0.0) for s in graph.observation)
    return replace(graph, layers=(folded, *graph.layers[1:]), observation=observation)


def merge_duplicate_neurons(graph: PolicyGraph) -> PolicyGraph:
    """Of hidden neurons with the same weights and bias the first stays; the weights that read the
    others are added to those that read it."""
    layers = list(graph.layers)
    for index in range(len(layers) - 1):
        layer, after = layers[index], layers[index + 1]
        rows = np.column_stack([layer.weight, layer.bias])
        _, firsts, groups = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        if len(firsts) == layer.outputs:
            continue
        place = firsts[groups.reshape(-1)]  # of the neuron that each is taken for
        weight = np.zeros(after.weight.shape)
        np.add.at(weight.T, place, after.weight.T.astype(np.float64))
        kept = np.sort(firsts)
        layers[index] = replace(layer, weight=layer.weight[kept], bias=layer.bias[kept])
        layers[index + 1] = replace(after, weight=_float32(weight[:, kept]))
    return replace(graph, layers=tuple(layers))


def eliminate_dead_neurons(graph: PolicyGraph) -> PolicyGraph:
    """Fold neurons without inputs into the next biases and drop neurons nobody reads, until none
    is left. A network that turns out constant becomes a single layer without weights."""
    layers = list(graph.layers)
    while True:
        before = [layer.weight.shape for layer in layers]
        layers = _drop_unused(_fold_constants(layers), graph.observation_size)
        if [layer.weight.shape for layer in layers] == before:
            return replace(graph, layers=tuple(layers))


def _fold_constants(layers: list[Layer]) -> list[Layer]:
    """A neuron without inputs is always activation(bias): add that to the biases it feeds."""
    folded = [layers[0]]
    for layer in layers[1:]:
        before = folded[-1]
        constant = ~np.any(before.weight, axis=1)
        value = before.activate(before.bias[constant])
        bias = layer.bias + layer.weight[:, constant].astype(np.float64) @ value
        weight = np.where(constant, np.float32(0), layer.weight)
        folded.append(replace(layer, weight=weight, bias=_float32(bias)))
    return folded


def _drop_unused(layers: list[Layer], observation_size: int) -> list[Layer]:
    kept = [layers[-1]]
    for layer in reversed(layers[:-1]):
        after = kept[0]
        used = np.any(after.weight, axis=0)
        if not used.any():  # nothing reaches the rest: it is a constant of no input
            weight = np.zeros((after.outputs, observation_size), np.float32)
            return [replace(after, weight=weight), *kept[1:]]
        kept[0] = replace(after, weight=after.weight[:, used])
        kept.insert(0, replace(layer, weight=layer.weight[used], bias=layer.bias[used]))
    return kept


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32)
