"""Graphs whose sums are hard on an accumulator: layers of very different sizes, neurons that are
always awake, biases far beyond the sums."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.graph import Layer, PolicyGraph, Signal


def steep_graph(seed: int) -> PolicyGraph:
    """The graph of this seed, of two to four widths of one to eight."""
    random = np.random.default_rng(seed)
    widths = [int(random.integers(1, 9)) for _ in range(int(random.integers(2, 5)))]
    names = random.choice(["relu", "relu", "identity", "tanh"], len(widths))
    layers = []
    for inputs, outputs, name in zip(widths, widths[1:], names, strict=False):
        size = 10.0 ** random.uniform(-4, 4, (outputs, 1))
        weight = size * random.standard_normal((outputs, inputs))
        weight *= random.random(weight.shape) < 0.8
        bias = 10.0 ** random.uniform(-4, 6, outputs) * random.choice((-1.0, 1.0), outputs)
        layers.append(Layer(weight, bias * (random.random(outputs) < 0.7), str(name)))
    signals = tuple(Signal(f"o{i}", low=-4.0, high=4.0) for i in range(widths[0]))
    actions = tuple(Signal(f"a{i}") for i in range(widths[-1]))
    return PolicyGraph(tuple(layers), signals, actions)


def steep_observations(graph: PolicyGraph, seed: int) -> np.ndarray:
    """[100, observation_size]: 60 such as scales are chosen by, and 40 far beyond them."""
    random = np.random.default_rng(seed)
    rows = random.uniform(-4, 4, (60, graph.observation_size))
    return np.concatenate([rows, 1e3 * rows[:20], -1e3 * rows[:20]]).astype(np.float32)
