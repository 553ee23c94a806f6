"""How far float32 itself may move an action: what no order of summation can be blamed for."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import PolicyGraph, in_parts
from sparsectl.policy.layer import Layer

UNIT_ROUNDOFF = 2.0**-24
LIBRARY_ERROR = 5 * UNIT_ROUNDOFF
"""Relative error of tanh, exp and erf in onnxruntime and torch: 3e-7."""


def float32_rounding(graph: PolicyGraph, observations: Float32) -> Float64:
    """Return a first-order upper bound of each action's rounding error, [count, action_size].

    It holds for the graph as it stands and after the passes (`policy.passes`), and for any order in
    which a sum's terms are added: each number that is rounded to float32 once more, each product
    and each addition is counted, and passes on through the weights' magnitudes and the
    activation's slope (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
    Of more than four additions, k, it counts 2 √k: that all of them round the same way is met only
    by numbers that were made for it (Higham and Mary, A new approach to probabilistic rounding
    error analysis, 2019, theorem 2.4 with λ = 2).
    """
    parts = in_parts(observations, graph.widest)
    return np.concatenate([_rounding(graph, part) for part in parts])


def _rounding(graph: PolicyGraph, observations: Float32) -> Float64:
    offset, scale = graph.observation_offset, graph.observation_scale
    given = observations.astype(np.float64)
    x = (given - offset) / scale
    # Where the normaliser becomes part of the first layer, its terms are those of the observation
    # and of the offset, each by itself.
    size = (np.abs(given) + np.abs(offset)) / np.abs(scale)
    # The offset and the scale are rounded, and so are the difference and the quotient.
    error = UNIT_ROUNDOFF * (np.abs(offset / scale) + 3 * np.abs(x))
    for layer in graph.layers:
        weight = np.abs(layer.weight.astype(np.float64))
        magnitude = layer.sums(size, weight, np.abs(layer.bias))
        error = layer.sums(error, weight, 0.0) + UNIT_ROUNDOFF * _roundings(layer) * magnitude
        total = layer.sums(x)
        x = layer.activate_exact(total.T).T
        size = np.abs(x)
        error = layer.activation_rounding(total.T, error.T).T
        if layer.is_approximate:
            error = error + LIBRARY_ERROR * size
    action_scale = np.array([signal.scale for signal in graph.action])
    action_offset = np.array([signal.offset for signal in graph.action])
    # The scale and the offset are rounded, and so are the product and the sum.
    scaled = np.abs(x * action_scale)
    mapped = 3 * scaled + 2 * np.abs(action_offset)
    return np.asarray(error * np.abs(action_scale) + UNIT_ROUNDOFF * mapped, np.float64)


def _roundings(layer: Layer) -> Any:
    """Return how often each of a layer's sums is rounded, in units of all its terms together,
    [out]: the weight once more by a pass, the product, and the additions."""
    additions = np.count_nonzero(layer.weight, axis=1).astype(np.float64)
    each = 2 + np.minimum(additions, 2 * np.sqrt(additions))
    return each if layer.convolution is None else np.tile(each, layer.convolution.count)
