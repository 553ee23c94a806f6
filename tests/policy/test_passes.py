"""Passes: the same function after them, and nothing dead left."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.passes import (
    eliminate_dead_neurons,
    fold_normaliser,
    hidden_neurons,
    merge_duplicate_neurons,
    simplify,
)
from tests.policy.graphs import graphs, observations, random_graph


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_passes_keep_the_function(graph: PolicyGraph) -> None:
    x = observations(graph, 50)
    after = simplify(graph)
    assert after.is_folded
    assert np.allclose(after.forward_exact(x), graph.forward_exact(x), rtol=0, atol=1e-4)


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_nothing_dead_is_left(graph: PolicyGraph) -> None:
    after = eliminate_dead_neurons(graph)
    for layer, reader in zip(after.layers, after.layers[1:], strict=False):
        assert np.any(layer.weight, axis=1).all(), "a neuron without inputs"
        assert np.any(reader.weight, axis=0).all(), "a neuron nobody reads"
    assert after.kept_weights <= graph.kept_weights
    assert eliminate_dead_neurons(after).digest == after.digest


def test_a_constant_neuron_moves_into_the_next_bias() -> None:
    graph = PolicyGraph(
        (
            Layer([[0, 0], [1, 0], [0, 1]], [2, 0, 0], "relu"),
            Layer([[3, 1, 0]], [0.5]),
        ),
        (Signal("a"), Signal("b")),
        (Signal("duty"),),
    )
    after = eliminate_dead_neurons(graph)
    assert [layer.weight.tolist() for layer in after.layers] == [[[1, 0]], [[1]]]
    assert after.layers[1].bias.tolist() == [6.5]
    assert hidden_neurons(graph) - hidden_neurons(after) == 2


def test_a_network_that_is_constant_becomes_one_layer() -> None:
    graph = PolicyGraph(
        (Layer([[1, 1]], [0], "relu"), Layer([[0]], [2], "relu"), Layer([[3]], [1], "tanh")),
        (Signal("a"), Signal("b")),
        (Signal("duty"),),
    )
    after = eliminate_dead_neurons(graph)
    assert len(after.layers) == 1 and after.kept_weights == 0
    assert after.forward([5, 5]).tolist() == graph.forward([5, 5]).tolist()


def test_equal_neurons_become_one() -> None:
    graph = PolicyGraph(
        (
            Layer([[1, 2], [0, 1], [1, 2], [1, 2]], [1, 0, 1, 0], "relu"),
            Layer([[1, 2, 3, 4], [0, 5, 0, 6]], [0, 0], "tanh"),
        ),
        (Signal("a"), Signal("b")),
        (Signal("c"), Signal("d")),
    )
    after = merge_duplicate_neurons(graph)
    assert after.layers[0].weight.tolist() == [[1, 2], [0, 1], [1, 2]]
    assert after.layers[0].bias.tolist() == [1, 0, 0]
    assert after.layers[1].weight.tolist() == [[4, 2, 4], [0, 5, 6]]
    x = observations(graph, 20)
    assert np.allclose(after.forward_exact(x), graph.forward_exact(x), rtol=0, atol=1e-12)


def test_folding_takes_offset_and_scale_of_every_frame() -> None:
    graph = random_graph((10, 8, 1), frames=2, normalised=True)
    after = fold_normaliser(graph)
    assert [s.name for s in after.observation] == [s.name for s in graph.observation]
    assert [(s.low, s.high) for s in after.observation] == [
        (s.low, s.high) for s in graph.observation
    ]
    x = observations(graph)
    assert np.allclose(after.forward(x), graph.forward(x), rtol=0, atol=3e-6)
