"""A file with an input for each part of an observation must take them in the environment's
order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from sparsectl.common.errors import UserError
from sparsectl.policy.load import load_acting
from sparsectl.training.environments.flat_observation import FlatObservation
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.rollouts.episodes import check_fit
from tests.policy.onnx_file.onnx_files import mlp, write_file

NAMES = ("achieved", "achieved_goal", "goal", "observation")


class Parts(gymnasium.Env[Any, Any]):
    """An environment whose observation has parts of these sizes."""

    action_space = Box(-1, 1, (1,))

    def __init__(self, sizes: dict[str, int]) -> None:
        self.observation_space = Dict({k: Box(-1, 1, (size,)) for k, size in sizes.items()})


def joined(path: Path, sizes: dict[str, int]) -> Path:
    """An MLP of its inputs, one after another in this order."""
    nodes, constants = mlp("joined", "action", sum(sizes.values()))
    nodes.insert(0, helper.make_node("Concat", list(sizes), ["joined"], axis=1))
    return write_file(path, nodes, constants, {name: ["batch", n] for name, n in sizes.items()})


@given(st.permutations(NAMES), st.data())
def test_another_order_is_refused(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: Any
) -> None:
    sizes = {name: data.draw(st.integers(1, 3)) for name in NAMES}
    path = joined(tmp_path_factory.mktemp("m") / "m.onnx", {name: sizes[name] for name in names})
    environment = FlatObservation(Parts(sizes), "parts")
    signals = environment_signals(environment)
    policy = load_acting(path)
    there = list(environment.env.observation_space.spaces)  # type: ignore[attr-defined]
    assert policy.inputs == tuple(names)
    if names == there:
        check_fit(policy, signals, "parts")
        return
    with pytest.raises(UserError, match=f"in the order {', '.join(names)} and parts gives"):
        check_fit(policy, signals, "parts")


def test_names_that_are_not_the_parts_say_nothing(tmp_path: Path) -> None:
    policy = load_acting(joined(tmp_path / "m.onnx", {"obs_0": 2, "obs_1": 1}))
    signals = environment_signals(FlatObservation(Parts({"goal": 2, "state": 1}), "parts"))
    check_fit(policy, signals, "parts")
    assert policy.act(np.zeros((3, 3), np.float32)).shape == (3, 1)
