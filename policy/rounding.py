"""How far float32 itself may move an action: what no order of summation can be blamed for."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import PolicyGraph, in_parts

UNIT_ROUNDOFF = 2.0**-24
LIBRARY_ERROR = 5 * UNIT_ROUNDOFF
"""Relative error of tanh, exp and erf in onnxruntime and torch: 3e-7."""


def float32_rounding(graph: PolicyGraph, observations: Float32) -> Float64:
    """Return a first-order upper estimate of each action's rounding error, [count, action_size].

    A sum's error is taken as one unit roundoff of the sum of its terms' magnitudes and passes on
    through the weights' magnitudes and the activation's slope (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1, with 1 for the factor n, which is met only by the worst
    order of the worst numbers).
    """
    parts = in_parts(observations, graph.widest)
    return np.concatenate([_rounding(graph, part) for part in parts])


def _rounding(graph: PolicyGraph, observations: Float32) -> Float64:
    offset, scale = graph.observation_offset, graph.observation_scale
    x = (observations.astype(np.float64) - offset) / scale
    error = UNIT_ROUNDOFF * (np.abs(observations) + np.abs(offset)) / np.abs(scale)
    for layer in graph.layers:
        weight = np.abs(layer.weight.astype(np.float64))
        magnitude = layer.sums(np.abs(x), weight, np.abs(layer.bias))
        error = layer.sums(error, weight, 0.0) + UNIT_ROUNDOFF * magnitude
        total = layer.sums(x)
        x = layer.activate_exact(total.T).T
        error = layer.activation_rounding(total.T, error.T).T
        if layer.is_approximate:
            error = error + LIBRARY_ERROR * np.abs(x)
    action_scale = np.array([signal.scale for signal in graph.action])
    action_offset = np.array([signal.offset for signal in graph.action])
    mapped = np.abs(x * action_scale) + np.abs(action_offset)
    return np.asarray(error * np.abs(action_scale) + UNIT_ROUNDOFF * mapped, np.float64)
