"""float32_rounding: above what rounding does, far below what a mistake does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.passes import eliminate_dead_neurons, simplify
from sparsectl.policy.rounding import float32_rounding
from tests.policy.graphs import graphs, observations, random_graph


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_covers_the_reference_on_any_graph(graph: PolicyGraph) -> None:
    x = observations(graph, 100)
    assert _covers(graph, graph.forward(x), x)
    assert _covers(graph, simplify(graph).forward(x), x)


@st.composite
def _networks(draw: st.DrawFn) -> tuple[PolicyGraph, np.ndarray]:
    """Networks whose sums round as badly as can be (no two terms cancel, so that the partial sums
    grow; or few terms, whose every rounding counts), and normalisers, near and far off."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = st.sampled_from([1, 2, 3, 5, 17, 64, 200])
    widths = draw(st.lists(width, min_size=2, max_size=4))
    activation = draw(st.sampled_from(["identity", "relu", "tanh"]))
    is_positive = draw(st.booleans())
    far = draw(st.sampled_from([0.0, 1.0, 30.0]))
    layers = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        weight, bias = generator.normal(size=(outputs, inputs)), generator.normal(size=outputs)
        if is_positive:
            weight, bias = abs(weight), abs(bias)
        layers.append(Layer(weight / np.sqrt(inputs), bias, activation))
    layers[-1] = replace(layers[-1], activation="identity")
    scale, offset = generator.uniform(0.2, 3, widths[0]), far * generator.normal(size=widths[0])
    observed = [Signal(f"o{i}", scale=scale[i], offset=offset[i]) for i in range(widths[0])]
    scale, offset = generator.uniform(0.1, 5, widths[-1]), generator.normal(size=widths[-1])
    acted = [Signal(f"a{i}", scale=scale[i], offset=offset[i]) for i in range(widths[-1])]
    x = 3 * generator.normal(size=(100, widths[0])).astype(np.float32)
    graph = PolicyGraph(tuple(layers), tuple(observed), tuple(acted))
    return graph, abs(x) if is_positive else x


@settings(max_examples=60, deadline=None)
@given(_networks())
def test_covers_sums_without_cancellation_and_linear_networks(
    made: tuple[PolicyGraph, np.ndarray],
) -> None:
    graph, x = made
    assert _covers(graph, graph.forward(x), x)
    assert _covers(graph, simplify(graph).forward(x), x)


@settings(max_examples=30, deadline=None)
@given(_networks())
def test_covers_the_order_of_torch(made: tuple[PolicyGraph, np.ndarray]) -> None:
    pytest.importorskip("torch")
    from sparsectl.export.source.student_source import run_torch

    graph, x = made
    assert _covers(graph, run_torch(graph, x), x)


@pytest.mark.parametrize("seed", range(10))
def test_covers_one_sum_of_one_term(seed: int) -> None:
    """A weight, an observation and both maps: of its few roundings each counts."""
    generator = np.random.default_rng(seed)
    scale, gain = generator.uniform(0.2, 3, 2)
    graph = PolicyGraph(
        (Layer(generator.normal(size=(1, 1)), np.zeros(1), "identity"),),
        (Signal("o", scale=scale),),
        (Signal("a", scale=gain),),
    )
    x = np.linspace(1, 2, 3000, dtype=np.float32)[:, None]
    assert _covers(graph, simplify(graph).forward(x), x)


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


def _covers(graph: PolicyGraph, found: np.ndarray, x: np.ndarray) -> bool:
    error = np.abs(found - graph.forward_exact(x))
    return bool(np.all(error <= float32_rounding(graph, x)))
