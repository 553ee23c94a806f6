"""Warnings before work starts, of environments that are not what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from onnx import helper

from sparsectl.common.warning import warn
from sparsectl.policy.load import load_acting
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.environments.checked_environment import CheckedEnvironment
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.rollouts.plausibility import (
    OUTSIDE,
    warn_of_ignored_seed,
    warn_of_observations_outside,
    warn_of_unscaled_actions,
)
from tests.policy.onnx_file.onnx_files import mlp, write_file


class Walk(gymnasium.Env[Any, Any]):
    """A random walk; `forgets` names what does not follow from the episode's seed."""

    action_space = Discrete(3, start=-1)
    observation_space = Box(-10, 10, (2,), np.float32)

    def __init__(self, forgets: str = "") -> None:
        self.forgets = forgets
        self.other = np.random.default_rng(1)
        self.episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.episodes += 1
        random = self.other if self.forgets == "start" else self.np_random
        self.place = random.normal(size=2).astype(np.float32)
        if self.forgets == "fresh":
            self.place[1] = self.episodes
        if self.forgets == "last digits":
            self.place[1] += np.float32(1e-7) * self.episodes
        return self.place, {}

    def step(self, action: Any) -> Any:
        random = self.other if self.forgets == "steps" else self.np_random
        self.place = (self.place + 0.1 * random.normal(size=2)).astype(np.float32)
        reward = float(self.other.normal()) if self.forgets == "reward" else float(action)
        return self.place, reward, False, False, {}


def warned_of(environment: Any, capsys: pytest.CaptureFixture[str]) -> str:
    warn.cache_clear()
    environment = CheckedEnvironment(environment, "my:Walk")
    warn_of_ignored_seed(environment, environment_signals(environment), "my:Walk")
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("forgets", "said"),
    [
        ("start", "observation o"),
        ("steps", "after 1 steps"),
        ("reward", "the reward is"),
        ("fresh", "observation o1 is 1 and 2 at the start"),
    ],
)
def test_episodes_of_one_seed_that_differ_are_warned_of(
    forgets: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = warned_of(Walk(forgets), capsys)
    assert said in line and line.count("\n") == 1
    assert line.startswith("sparsectl: warning: my:Walk: two episodes of one seed differ")


@pytest.mark.parametrize("forgets", ["", "last digits"])
def test_an_environment_that_heeds_its_seed_is_not_warned_of(
    forgets: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert warned_of(Walk(forgets), capsys) == ""


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "InvertedPendulum-v5"])
def test_gymnasiums_own_are_not_warned_of(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    environment = make_environment(name)
    for seed in range(3):
        environment.reset(seed=seed)
        environment.step(environment.action_space.sample())
    assert warned_of(environment, capsys) == ""


def walked(low: list[float | None], high: list[float | None], observations: Any) -> Dataset:
    plain = {"unit": "", "scale": 1.0, "offset": 0.0}
    entries = [
        {"name": f"o{index}", "low": least, "high": most, **plain}
        for index, (least, most) in enumerate(zip(low, high, strict=True))
    ]
    rows, nothing = len(observations), np.zeros(len(observations), np.bool_)
    seen = np.array(observations, np.float32)
    actions = np.zeros((rows, 1), np.float32)
    signals = {"observation": entries, "action": [{"name": "a", "low": -1, "high": 1, **plain}]}
    return Dataset(
        seen, actions, actions, np.zeros(rows, np.float32), seen, nothing, nothing,
        {"signals": signals | {"frames": 1, "period_s": 0.0, "rig": None}},
    )  # fmt: skip


def test_observations_outside_their_space_are_warned_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    within = walked([-2.0, None], [2.0, None], [[2.0, 1e9], [-2.0, -1e9], [0.0, 0.0], [1.0, 0.0]])
    for rows in (within.observations, within.observations * np.float32(1 + OUTSIDE / 2)):
        warn.cache_clear()
        warn_of_observations_outside(replace(within, observations=rows), "my:Walk")
        assert capsys.readouterr().err == ""
    within.observations[1, 0] = -2.1
    warn_of_observations_outside(within, "my:Walk")
    line = capsys.readouterr().err
    assert "my:Walk gave o0 from -2.1 to 2, outside" in line
    assert "(-2 to 2) in 25.00% of the transitions" in line


def test_a_limit_on_one_side_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    for low, high, seen, said in [
        (0.0, None, -1.0, "(0 to inf)"),
        (None, 5.0, 6.0, "(-inf to 5)"),
    ]:
        warn.cache_clear()
        warn_of_observations_outside(walked([low], [high], [[seen]]), "e")
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "environment", "told"),
    [
        ("Tanh", "Pendulum-v1", "reach from -1 to 1, but Pendulum-v1 takes -2 to 2; if it was"),
        ("Tanh", "MountainCarContinuous-v0", ""),  # whose bounds are -1 and 1
        ("Sigmoid", "Pendulum-v1", ""),
        ("Identity", "Pendulum-v1", ""),
    ],
)
def test_actions_that_lack_their_scaling_are_told(
    end: str, environment: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The actor of Stable-Baselines3's SAC ends in a tanh; its `predict` scales that."""
    warn.cache_clear()
    probe = make_environment(environment)
    size = probe.observation_space.shape[0]
    nodes, constants = mlp("observation", "sum", size)
    nodes.append(helper.make_node(end, ["sum"], ["action"]))
    path = write_file(tmp_path / "actor.onnx", nodes, constants, {"observation": ["b", size]})
    warn_of_unscaled_actions(load_acting(path), environment_signals(probe), environment, path)
    shown = capsys.readouterr().err
    assert told in shown and bool(told) == bool(shown)
