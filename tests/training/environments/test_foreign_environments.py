"""What environments of others give and take that Gymnasium's own do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.policy.signals_json import image_of
from sparsectl.training.environments.checked_environment import CheckedEnvironment
from sparsectl.training.environments.flat_observation import FlatObservation
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.rollouts.evaluate import run_episodes
from sparsectl.training.teachers.teacher_file import write_teacher

SIGNAL = {"unit": "", "scale": 1.0, "offset": 0.0, "low": None, "high": None}


class Given(gymnasium.Env[Any, Any]):
    """An environment of three numbers whose parts a test replaces; it keeps the last action."""

    def __init__(self, **parts: Any) -> None:
        self.observation_space: Any = Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space: Any = Box(-1, 1, (1,), np.float32)
        self.seen: Any = np.zeros(3, np.float32)
        self.result: list[Any] = [1.0, False, False, {}]
        for name, value in parts.items():
            setattr(self, name, value)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        return self.seen, {}

    def step(self, action: Any) -> Any:
        self.taken = action
        return (self.seen, *self.result)


def checked(**parts: Any) -> CheckedEnvironment:
    return CheckedEnvironment(Given(**parts), "given")


def test_a_bound_of_float64_is_the_bound_when_a_float32_policy_reaches_it() -> None:
    space = Box(np.array([-0.1, -3]), np.array([0.3, 7]), dtype=np.float64)
    environment = checked(action_space=space)
    for end in (space.low, space.high):
        environment.step(end.astype(np.float32))
        taken = environment.unwrapped.taken  # type: ignore[attr-defined]
        assert space.contains(taken) and taken.tolist() == end.tolist()


def test_a_choice_arrives_as_the_spaces_samples_do() -> None:
    space: Any = Discrete(3, start=5)
    environment = checked(action_space=space)
    environment.step(np.float32([6]))
    taken = environment.unwrapped.taken  # type: ignore[attr-defined]
    assert space.contains(taken) and type(taken) is type(space.sample()) and taken.item() == 6


def test_an_environment_that_computes_in_place_changes_no_recorded_action() -> None:
    class InPlace(Given):
        def step(self, action: Any) -> Any:
            action *= 0
            return super().step(action)

    action = np.float32([0.5])
    CheckedEnvironment(InPlace(), "given").step(action)
    assert action.tolist() == [0.5]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([1.0, "False", False, {}], "gave 'False' as terminated in step 1"),
        ([1.0, False, np.array([True, False]), {}], "as truncated in step 1"),
        ([1.0, None, False, {}], "gave None as terminated"),
        ([1.0, False, True, {"is_success": "no"}], r"gave 'no' as info\['is_success'\]"),
        ([1.0, False, True, {"is_success": np.ones(2)}], r"as info\['is_success'\]"),
        ([1.0, False, False, [1]], r"gave \[1\] as info"),
        ([10**400, False, False, {}], "which is not a finite number of float32"),
        ([np.ones(2), False, False, {}], "which is not a finite number of float32"),
    ],
)
def test_what_is_no_truth_value_or_number_is_told(result: list[Any], message: str) -> None:
    environment = checked(result=result)
    environment.reset()
    with pytest.raises(UserError, match=message):
        environment.step(np.zeros(1, np.float32))


def test_arrays_of_one_value_and_no_info_are_taken() -> None:
    result = [np.array([2.5]), np.array(True), np.int64(0), None]
    observation, *rest = checked(result=result).step(np.zeros(1, np.float32))
    assert rest == [2.5, True, False, {}]


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        ({"b": np.zeros(3), "a": np.zeros(2)}, r"'a' of shape \(2,\) at the start"),
        ({"b": np.zeros(2)}, "gave one without 'a'"),
        ({"b": np.zeros(2), "a": "text"}, "'a' at the start that is not an array of numbers"),
        ({"b": np.full(2, np.nan), "a": np.zeros(3)}, "gave nan as 'b' 0 at the start"),
        (np.zeros(5), "its observation_space is a Dict with"),
    ],
)
def test_each_part_of_a_dict_has_its_own_shape(seen: Any, message: str) -> None:
    """Parts whose sizes are exchanged would make a vector of the right size."""
    space = Dict({"b": Box(-1, 1, (2,)), "a": Box(-1, 1, (3,))})
    environment = FlatObservation(checked(observation_space=space, seen=seen), "given")
    with pytest.raises(UserError, match=message):
        environment.reset()


def raising() -> Any:
    raise RuntimeError("not connected")


@pytest.mark.parametrize("dt", [None, np.ones(2), raising, float("nan"), -0.1, "slow"])
def test_an_attribute_that_is_no_period_is_none(dt: Any) -> None:
    assert environment_signals(Given(dt=dt))["period_s"] == 0
    assert environment_signals(Given(dt=0.05))["period_s"] == 0.05


@pytest.mark.parametrize("limit", [raising, "5", -5, 5.5, float("inf")])
def test_an_attribute_that_is_no_limit_of_steps_is_none(limit: Any) -> None:
    gymnasium.register("given/Limit-v0", lambda: Limited(result=[1.0, True, False, {}]))
    Limited.limit = limit
    try:
        found = run_episodes(
            "given/Limit-v0", lambda seen: np.zeros((len(seen), 1)), episodes=2, seed=0
        )
    finally:
        del gymnasium.registry["given/Limit-v0"]
    assert found.returns.tolist() == [1, 1]


class Limited(Given):
    """It says its own limit of steps, as `limit`."""

    limit: Any = None

    @property
    def max_episode_steps(self) -> Any:
        return self.limit() if self.limit is raising else self.limit


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"image_shape": (84, 84)}, "image_shape"),
        ({"image_shape": "wide"}, "image_shape"),
        ({"signal_names": ["x"]}, "signal_names"),
        ({"signal_names": ["x", "x", "x"]}, "signal_names"),
        ({"signal_names": [1, 2, 3]}, "signal_names"),
    ],
)
def test_attributes_of_other_meaning_are_left_alone_aloud(
    parts: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warn.cache_clear()
    signals = environment_signals(Given(**parts))
    assert [row["name"] for row in signals["observation"]] == ["o0", "o1", "o2"]
    assert image_of(signals) is None
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observation": [{"name": "o", **SIGNAL}]}, "describe 1 numbers of an observation"),
        ({"action": [{"name": "a", **SIGNAL, "low": -5, "high": 5}]}, "let actions be from"),
    ],
)
def test_own_signals_are_of_the_spaces(change: dict[str, Any], message: str) -> None:
    signals = {
        "observation": [{"name": name, **SIGNAL} for name in "abc"],
        "action": [{"name": "a", **SIGNAL, "low": -1, "high": 1}],
        "frames": 1,
        "period_s": 0.0,
        "rig": None,
    }
    assert environment_signals(Given(signals=signals)) == signals
    with pytest.raises(UserError, match=message):
        environment_signals(Given(signals=signals | change))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"action_space": Discrete(4, start=2**24)}, "beyond float32's whole ones"),
        ({"action_space": Box(-1e300, 1e300, (1,), np.float64)}, "has no bounds"),
        ({"action_space": Box(-2e38, 2e38, (1,))}, "wider than float32"),
        ({"observation_space": Box(-1, 1, (65_537,))}, "has observations of 65,537 numbers"),
        ({"action_space": Box(-1, 1, (0,))}, "of no numbers at all"),
        ({"observation_space": Box(-1, 1, (0,))}, "of no numbers at all"),
    ],
)
def test_spaces_beyond_float32_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        environment_signals(Given(**parts))


def test_limits_of_float16_are_limits(recwarn: pytest.WarningsRecorder) -> None:
    signals = environment_signals(Given(observation_space=Box(-5, np.inf, (3,), np.float16)))
    assert [(entry["low"], entry["high"]) for entry in signals["observation"]] == [(-5, None)] * 3
    assert not recwarn.list


def test_an_error_while_closing_does_not_take_the_results(
    capsys: pytest.CaptureFixture[str],
) -> None:
    warn.cache_clear()
    CheckedEnvironment(Given(close=raising), "given").close()
    assert "raised RuntimeError when it was closed: not connected" in capsys.readouterr().err


LOUD = """
import os
import gymnasium
import numpy as np

print("welcome")

class Loud(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        print("reset")
        return np.zeros(3, np.float32), {}

    def step(self, action):
        os.write(1, b"from C\\n")
        return np.zeros(3, np.float32), 1.0, True, False, {}
"""


def test_what_an_environment_prints_is_not_in_the_result_for_machines(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    weights = [(np.zeros((1, 3), np.float32), np.zeros(1, np.float32))]
    signals = environment_signals(Given())
    write_teacher(tmp_path / "policy.onnx", weights, signals, "loud:Loud", {})
    words = ["evaluate", "--policy", "policy.onnx", "--env", "loud:Loud", "--episodes", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "sparsectl", *words, "--json"],
        cwd=tmp_path,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["return_mean"] == 1
    for words_of_it in (b"welcome", b"reset", b"from C"):
        assert words_of_it in done.stderr
