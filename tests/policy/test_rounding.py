"""float32_rounding: above what rounding does, far below what a mistake does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings

from sparsectl.policy.graph import Layer, PolicyGraph
from sparsectl.policy.passes import eliminate_dead_neurons
from sparsectl.policy.rounding import float32_rounding
from tests.policy.graphs import graphs, observations, random_graph


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_covers_the_reference_on_any_graph(graph: PolicyGraph) -> None:
    x = observations(graph, 100)
    error = np.abs(graph.forward(x) - graph.forward_exact(x))
    assert np.all(error <= 2 * float32_rounding(graph, x))


def test_a_changed_weight_is_far_outside() -> None:
    graph = eliminate_dead_neurons(random_graph((25, 64, 64, 1), 0.2))
    second = graph.layers[1]
    weight = second.weight.copy()
    weight[np.unravel_index(np.argmax(np.abs(weight)), weight.shape)] *= 1.01
    other = replace(
        graph,
        layers=(graph.layers[0], Layer(weight, second.bias, "relu"), graph.layers[2]),
    )
    x = observations(graph, 500)
    difference = np.abs(other.forward(x) - graph.forward(x))
    assert np.max(difference / float32_rounding(graph, x)) > 20
