"""Policies that keep a state: GRUs beside torch's, ticks beside sequences, and what passes do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import simplify
from sparsectl.policy.recurrent import Gru, recurrent_policy
from tests.policy.recurrent_policies import random_recurrent, recurrent_graphs, sequence


def test_it_is_torchs_gru() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    encoder, head = torch.nn.Linear(5, 6), torch.nn.Linear(4, 2)
    units = [torch.nn.GRU(6, 7, batch_first=True), torch.nn.GRU(7, 4, batch_first=True)]

    def array(tensor: object) -> np.ndarray:
        return np.asarray(tensor.detach().numpy())  # type: ignore[attr-defined]

    cells = [
        Gru(
            *(
                array(getattr(unit, f"{kind}_l0"))
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
        )
        for unit in units
    ]
    graph = recurrent_policy(
        [
            Layer(array(encoder.weight), array(encoder.bias), "relu"),
            *cells,
            Layer(array(head.weight), array(head.bias), "tanh"),
        ],
        [Signal(f"o{i}", scale=2.0, offset=0.5) for i in range(5)],
        [Signal("a"), Signal("b")],
    )
    assert (graph.state_size, graph.kept_weights) == (11, 30 + 21 * 13 + 12 * 11 + 8)
    observations, resets = sequence(graph, 300, resets=0.0)
    with torch.no_grad():
        x = torch.relu(encoder((torch.tensor(observations) - 0.5) / 2))[None]
        for unit in units:
            x, _ = unit(x)
        expected = torch.tanh(head(x))[0].numpy()
    assert np.abs(graph.run(observations, resets) - expected).max() < 1e-6


@given(recurrent_graphs(), st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_sequence_is_its_ticks_bit_for_bit(graph: PolicyGraph, seed: int) -> None:
    observations, resets = sequence(graph, 40, seed, 0.1)
    state, actions = graph.initial_state(), []
    for observation, is_reset in zip(observations, resets, strict=True):
        state = graph.initial_state() if is_reset else state
        action, state = graph.step(state, observation)
        actions.append(action)
    assert np.array_equal(np.array(actions), graph.run(observations, resets))


@pytest.mark.parametrize("linear_before_reset", [True, False])
def test_the_reset_gate_stands_where_it_is_asked_for(linear_before_reset: bool) -> None:
    generator = np.random.default_rng(3)
    units = 5
    w, u = generator.normal(size=(3 * units, 2)), generator.normal(size=(3 * units, units))
    b, c, start = (generator.normal(size=size) for size in (3 * units, 3 * units, units))
    graph = recurrent_policy(
        [Gru(w, u, b, c, start, linear_before_reset)],
        [Signal("x"), Signal("y")],
        [Signal(f"h{i}") for i in range(units)],
    )
    observations, _ = sequence(graph, 30)

    def gate(x: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-x)))

    h, found = start, []
    for x in observations.astype(np.float64):
        given_sum, held_sum = np.split(w @ x + b, 3), np.split(u @ h + c, 3)
        r, z = (gate(given_sum[i] + held_sum[i]) for i in (0, 1))
        held = r * held_sum[2] if linear_before_reset else u[2 * units :] @ (r * h) + c[2 * units :]
        h = (1 - z) * np.tanh(given_sum[2] + held) + z * h
        found.append(h)
    assert np.abs(graph.run(observations) - np.array(found)).max() < 2e-6


@given(recurrent_graphs())
@settings(max_examples=10, deadline=None)
def test_passes_keep_the_function(graph: PolicyGraph) -> None:
    observations, resets = sequence(graph, 60, resets=0.05)
    simple = simplify(graph)
    assert simple.is_folded and simple.state_size <= graph.state_size
    before, after = graph.run(observations, resets), simple.run(observations, resets)
    assert np.abs(before - after).max() < 2e-4  # rounding, carried on by up to 60 ticks


def test_units_that_no_action_depends_on_are_dropped() -> None:
    generator = np.random.default_rng(1)
    held = generator.normal(size=(18, 6))
    held[:, 2:] = 0  # units 2 to 5 are read by themselves alone, and only 0 and 1 by the action
    read = np.zeros((1, 6))
    read[0, 0] = 1.5
    graph = recurrent_policy(
        [
            Gru(generator.normal(size=(18, 3)), held, generator.normal(size=18), np.zeros(18)),
            Layer(read, np.zeros(1)),
        ],
        [Signal(name) for name in "abc"],
        [Signal("u", low=-1.0, high=1.0)],
    )
    observations, resets = sequence(graph, 100)
    simple = simplify(graph)
    assert (simple.state_size, simple.layers[0].outputs) == (2, 10)
    assert np.array_equal(simple.run(observations, resets), graph.run(observations, resets))
    alone = simplify(replace(graph, layers=(graph.layers[0], _without_weights(graph.layers[1]))))
    assert alone.state_size == 0 and alone.forward(observations[0]) == 0


def _without_weights(layer: Layer) -> Layer:
    """Of the last layer: the action reads nothing."""
    weight = layer.weight.copy()
    weight[0] = 0
    return replace(layer, weight=weight)


def test_a_state_belongs_to_the_controller() -> None:
    graph = random_recurrent()
    other = replace(graph, reset_state=(0.5, *graph.reset_state[1:]))
    assert graph.digest != other.digest
    stateless = PolicyGraph(
        (Layer(np.ones((1, 2)), [0.0]),), (Signal("a"), Signal("b")), graph.action[:1]
    )
    assert "reset_state" not in stateless.canonical_bytes().decode("latin-1")
    assert np.array_equal(stateless.run([[1, 2], [3, 4]]), stateless.forward([[1, 2], [3, 4]]))
    assert stateless.step(stateless.initial_state(), [1, 2])[1].shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.forward(np.zeros(3)), "keeps a state of 4 values.*use step"),
        (lambda g: g.forward_exact(np.zeros(3)), "keeps a state of 4 values"),
        (lambda g: g.step(np.zeros(3), np.zeros(3)), r"state of shape \[3\].*has 4 values"),
        (lambda g: g.step(g.initial_state(), np.zeros(2)), "takes 3 values"),
        (lambda g: g.run(np.zeros((4, 3)), [True]), r"resets of shape \[1\] for 4"),
        (lambda g: g.run(np.zeros((0, 3))), "0 ticks"),
        (lambda g: replace(g, reset_state=(0.0,) * 5), "the observation with the state has 8"),
        (lambda g: replace(g, reset_state=(float("nan"),) * 4), "reset state of"),
        (lambda g: replace(g, action=g.action[:1]), "1 action signals and a state of 4"),
        (lambda g: random_recurrent((600,), inputs=1), "weights|at most"),
        (lambda g: Gru(np.zeros((6, 2)), np.zeros((6, 3)), np.zeros(6), np.zeros(6)), "of a GRU"),
        (lambda g: Gru([[0.0]] * 3, [[0.0]] * 3, [0.0] * 3, [0.0] * 3, [0, 0]), "reset state"),
        (lambda g: recurrent_policy([Layer([[1.0]], [0.0])], g.observation, g.action), "no layer"),
    ],
)
def test_what_does_not_fit_is_refused(change: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        change(random_recurrent())  # type: ignore[operator]


@pytest.mark.parametrize("linear_before_reset", [True, False])
def test_its_onnx_file_is_one_tick_with_the_state_at_both_ends(
    linear_before_reset: bool, tmp_path: Path
) -> None:
    graph = simplify(
        random_recurrent((4, 3), linear_before_reset=linear_before_reset, starts_at_zero=False)
    )
    write_onnx(graph, tmp_path / "policy.onnx")
    assert read_onnx(tmp_path / "policy.onnx").digest == graph.digest
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    observations, resets = sequence(graph, 200, resets=0.05)
    state, actions = graph.initial_state(1), []
    for observation, is_reset in zip(observations, resets, strict=True):
        state = graph.initial_state(1) if is_reset else state
        given = {"observation": observation[None], "state_in": state}
        action, state = session.run(["action", "state_out"], given)
        actions.append(action[0])
    assert np.abs(np.array(actions) - graph.run(observations, resets)).max() < 1e-5
