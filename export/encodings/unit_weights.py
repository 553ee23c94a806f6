"""Scale neurons so that one weight of each becomes 1, which takes a sum in place of a load, a
product and a sum.

relu(a z) = a relu(z) for a > 0, so a hidden relu neuron's weights and bias may be divided by a if
the weights that read the neuron are multiplied by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparsectl.policy.graph import Layer, PolicyGraph


def with_unit_weights(graph: PolicyGraph, units: Sequence[float]) -> PolicyGraph:
    """Return a graph of the same function in which the largest weight of each hidden ReLU neuron of
    layer i is ±units[i].

    Computed in float64 and rounded once. A neuron without weights, or whose scaling would leave
    float32's range, stays as it is.
    """
    layers = list(graph.layers)
    for index, unit in enumerate(units[: len(layers) - 1]):
        layer, reader = layers[index], layers[index + 1]
        if layer.activation != "relu":
            continue
        scale = _scales(layer, reader, unit)
        weight, bias = layer.weight / scale[:, None], layer.bias / scale
        layers[index] = replace(layer, weight=_float32(weight), bias=_float32(bias))
        layers[index + 1] = replace(reader, weight=_float32(reader.weight * scale))
    return replace(graph, layers=tuple(layers))


def _scales(layer: Layer, reader: Layer, unit: float) -> np.ndarray:
    largest = np.abs(layer.weight).max(axis=1).astype(np.float64)
    scale = np.where(largest > 0, largest / unit, 1.0)
    weight, bias = layer.weight / scale[:, None], layer.bias / scale
    results = np.hstack([weight, bias[:, None], reader.weight.T * scale[:, None]])
    return np.where(_in_range(results), scale, 1.0)


def _in_range(values: np.ndarray) -> np.ndarray:
    """Return which rows contain only values that are 0 or far from both ends of float32's range."""
    magnitude = np.abs(values)
    within = (magnitude == 0) | ((magnitude > 2.0**-100) & (magnitude < 2.0**100))
    return np.asarray(within.all(axis=1))


def _float32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
