"""Policies that keep a state in episodes: each episode has its own, from its first tick on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.states import Recurrent, States
from sparsectl.policy.graph import Signal
from sparsectl.policy.load import load, load_acting
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import simplify
from sparsectl.training.rollouts.block import Behaviour, run_block
from sparsectl.training.rollouts.evaluate import run_episodes, trace_episode
from sparsectl.training.rollouts.together import together
from sparsectl.training.teachers.teach import signals_of
from tests.policy.recurrent_policies import random_recurrent

ENV = "sparsectl/qube_servo2-v0"


@pytest.fixture(scope="module")
def recurrent_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    signals = signals_of(ENV)
    observations = len(signals["observation"]) * signals["frames"]
    graph = random_recurrent((4,), 3, inputs=observations, actions=1)
    graph = replace(graph, action=(Signal("duty", low=-1.0, high=1.0),))
    path = tmp_path_factory.mktemp("recurrent") / "policy.onnx"
    write_onnx(simplify(graph), path)
    return path


def test_each_episode_has_a_state_of_its_own(recurrent_file: Path) -> None:
    policy, graph = load_acting(recurrent_file), load(recurrent_file)
    together_ = run_episodes(ENV, policy.acting, episodes=3, seed=5)
    alone = [run_episodes(ENV, policy.acting, episodes=1, seed=5 + i) for i in range(3)]
    assert together_.returns.tolist() == [float(one.returns[0]) for one in alone]
    assert policy.weights == graph.kept_weights
    trace = trace_episode(ENV, policy.acting, seed=5)
    assert len(trace["duty"]) == alone[0].lengths[0]


def test_transitions_are_those_of_the_sequence(recurrent_file: Path) -> None:
    policy, graph = load_acting(recurrent_file), load(recurrent_file)
    behaviour = Behaviour(policy, teacher=policy, noise=0.5)
    running = together(ENV, {}, 0, [3, 4])
    for episode in run_block(running, signals_of(ENV), behaviour, (0,), range(3, 5)):
        found = episode.transitions
        assert np.array_equal(found.teacher_actions, graph.run(found.observations))


def test_what_takes_rows_alone_refuses_it(recurrent_file: Path) -> None:
    policy = load_acting(recurrent_file)
    with pytest.raises(UserError, match="keeps a state of 4 values, and this takes policies whose"):
        policy.act(np.zeros((2, policy.observation_size), np.float32))


def test_states_move_on_only_where_episodes_are_live(recurrent_file: Path) -> None:
    policy, graph = load_acting(recurrent_file), load(recurrent_file)
    acting = policy.acting
    assert isinstance(acting, Recurrent)
    states = States(acting, 2)
    observation = np.ones((1, graph.observation_size), np.float32)
    for _ in range(3):
        states.act(observation, np.array([1]))
    fresh = states.act(observation, np.array([0]))
    assert np.array_equal(fresh[0], graph.step(graph.initial_state(), observation[0])[0])
