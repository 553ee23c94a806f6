"""Rounding that is compensated: right derivatives, less error than plain, sums within range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sparsectl.export.encodings.fixed import obq
from sparsectl.export.encodings.fixed.format import Format
from sparsectl.export.encodings.fixed.obq import compensated, policy_in
from sparsectl.export.encodings.fixed.scales import fixed_policy
from sparsectl.export.encodings.registry import FIXED, encode
from sparsectl.policy.graph import Layer, PolicyGraph
from tests.policy.graphs import graphs, observations, random_graph

EIGHT_BITS = Format((127,), 24, (8,))
ACTIVATIONS = ("tanh", "identity", "relu", "tanh")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(3066)  # a ReLU whose sum is 0: a kink
@example(498274)
def test_derivatives_are_differences(seed: int) -> None:
    graph = random_graph((4, 7, 5, 6, 2), 0.6, seed, activations=ACTIVATIONS)
    network, x = obq._Network(graph), observations(graph, 5)
    values, step = network.values(), 1e-6
    actions, jacobian = network.jacobian(values, x)
    np.testing.assert_allclose(actions.T, graph.forward_exact(x), atol=1e-6)
    for index in range(network.size):
        sides = []
        for way in (step, -step):
            moved = values.copy()
            moved[index] += way
            sides.append((network.actions(moved, x) - actions) / way)
        # At a kink, or closer to one than a step, the derivative is that of one of its sides.
        low, high = np.minimum(*sides), np.maximum(*sides)
        near = 1e-3 * (1 + np.maximum(np.abs(low), np.abs(high)))
        assert ((low - near <= jacobian[:, index]) & (jacobian[:, index] <= high + near)).all()


@pytest.mark.parametrize("name", FIXED)
@settings(max_examples=10, deadline=None)
@given(graph=graphs(max_width=12, max_layers=4))
def test_compensation_never_adds_error(name: str, graph: PolicyGraph) -> None:
    x = observations(graph, 200)
    exact = graph.forward_exact(x)
    plain, compensated = (encode(name, graph, x, are_met=met).forward(x) for met in (False, True))
    before, after = (np.mean((np.float64(y) - exact) ** 2) for y in (plain, compensated))
    assert after <= before


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(23)  # its least sum is further from 0 than its greatest, and ReLU takes it to 0
def test_no_settled_sum_leaves_its_accumulator(seed: int) -> None:
    graph = random_graph((6, 12, 9, 2), 0.5, seed)
    policy = policy_in(EIGHT_BITS, graph, observations(graph, 300), are_met=True)
    highest = policy.input_limit
    lowest = -highest
    for layer in policy.layers:
        assert np.abs(layer.weight).max() <= 127
        positive, negative = np.maximum(layer.weight, 0), np.minimum(layer.weight, 0)
        greatest = positive @ highest + negative @ lowest + layer.bias
        least = positive @ lowest + negative @ highest + layer.bias
        assert greatest.max() < 2**23 and least.min() >= -(2**23)
        highest = np.clip(greatest >> policy.shift, 0, layer.limit)  # the hidden layers have ReLU
        lowest = np.zeros_like(highest)


def test_a_policy_of_few_weights_keeps_its_actions() -> None:
    errors = []
    for seed in range(5):
        graph = random_graph((5, 24, 16, 1), 0.3, seed)
        x, others = observations(graph, 2000, seed=1), observations(graph, 2000, seed=2)
        exact = graph.forward_exact(others)
        policies = [policy_in(EIGHT_BITS, graph, x, are_met=met) for met in (False, True)]
        errors.append([np.sqrt(np.mean((p.forward(others) - exact) ** 2)) for p in policies])
    plain, compensated = np.mean(errors, axis=0)
    assert compensated < 0.6 * plain


def test_what_cannot_be_settled_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph((4, 8, 2), activations=("sigmoid", "tanh"))
    x = observations(graph, 50)
    policy = fixed_policy(graph, x, EIGHT_BITS)
    assert compensated(policy, x, EIGHT_BITS) is policy
    monkeypatch.setattr(obq, "MOST_PARAMETERS", 10)
    graph = random_graph((4, 8, 2))
    policy = fixed_policy(graph, x, EIGHT_BITS)
    assert compensated(policy, x, EIGHT_BITS) is policy


def test_huge_weights_are_refused_or_rounded_but_never_a_traceback() -> None:
    layers = (Layer(np.full((3, 2), 1e30), np.zeros(3), "relu"), Layer(np.ones((1, 3)), [0.0]))
    graph = random_graph((2, 3, 1))
    graph = PolicyGraph(layers, graph.observation, graph.action)
    x = observations(graph, 50)
    for name in FIXED:
        assert encode(name, graph, x, are_met=True).forward(x).shape == (50, 1)
