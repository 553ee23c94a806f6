"""Environments of one's own: with arguments and wrappers, Dict observations, and their mistakes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from sparsectl.commands.choosing.closed_loop import closed_loop
from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.policy.student_file import StudentFile, StudentLayer, write_student
from sparsectl.training.config import CollectConfig, EvaluateConfig
from sparsectl.training.data.files import read_dataset
from sparsectl.training.environments import checked_environment
from sparsectl.training.environments.environments import (
    chosen_environment,
    keyword_arguments,
    make_environment,
    named_environment,
    parts_of,
)
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import evaluate
from sparsectl.training.teachers.teacher_file import write_teacher
from tests.training import own_environment

NAMES = ["battery", "goal_0_0", "goal_0_1", "place_0", "place_1"]
ACTION = np.float32([0.2, 1])


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the user's module `own_environment`."""
    shutil.copy(own_environment.__file__, tmp_path / "own_environment.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own_environment", None)
    gymnasium.registry.pop("Reach-v0", None)


@pytest.mark.parametrize("place", ["own_environment:Reach", "own_environment:Reach-v0"])
def test_ones_own_environment_with_dict_observations(place: str, own: Path) -> None:
    environment = make_environment(place)
    signals = environment_signals(environment)
    assert [row["name"] for row in signals["observation"]] == NAMES
    assert [(row["offset"], row["scale"]) for row in signals["action"]] == [
        (-0.5, 1.5),
        (1.75, 1.25),
    ]
    observation, _ = environment.reset(seed=3)
    inner = environment.unwrapped
    expected = [1.0, *inner.goal, *inner.place]  # type: ignore[attr-defined]
    np.testing.assert_allclose(observation, expected, rtol=1e-6)


def test_arguments_and_wrappers_reach_the_environment(own: Path) -> None:
    name = named_environment("own_environment:Reach", ['{"gain": 0.2}'], ["own_environment:Twice"])
    environment, plain = make_environment(name), make_environment("own_environment:Reach")
    moved = []
    for each in (environment, plain):
        before = each.reset(seed=1)[0][3:]
        moved.append(each.step(0.1 * ACTION)[0][3:] - before)
    np.testing.assert_allclose(moved[0], 4 * moved[1], rtol=1e-4)


def test_arguments_are_words_or_json() -> None:
    words = ["g=9.5", "mode=fast", '{"flags": [1, 2]}', "quiet=true"]
    parts = parts_of(named_environment("Pendulum-v1", words, []))
    assert parts.kwargs == {"g": 9.5, "mode": "fast", "flags": [1, 2], "quiet": True}
    assert parts_of(parts.name) == parts
    assert make_environment(named_environment("Pendulum-v1", ["g=2"], [])).unwrapped.g == 2  # type: ignore[attr-defined]


def test_a_rigs_signals_hold_unless_a_wrapper_may_change_them(own: Path) -> None:
    rig = "sparsectl/qube_servo2-v0"
    assert environment_signals(make_environment(rig))["rig"]
    kept = named_environment(rig, ["randomised=false"], [])
    assert environment_signals(make_environment(kept))["rig"]
    changed = named_environment(rig, [], ["own_environment:Twice"])
    assert environment_signals(make_environment(changed))["rig"] is None


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("k=False", False), ("k=false", False), ("k=None", None), ("k=null", None)),
        *(("k=[True, 2]", [True, 2]), ("k=(1, 2)", [1, 2]), ("k='8x8'", "8x8"), ("k=8x8", "8x8")),
        *(("k=1e-3", 0.001), ("k={1}", "{1}"), ("k=", ""), ("k=" + "[" * 9_999, "[" * 9_999)),
    ],
)
def test_values_of_arguments_are_json_or_pythons(word: str, value: Any) -> None:
    assert keyword_arguments([word]) == {"k": value}


@pytest.mark.parametrize(
    ("env", "words", "wrapper", "message"),
    [
        ("own_environment:Reach", ["size=3"], [], "unexpected keyword argument 'size'"),
        ("own_environment:Reach", ["size"], [], "env-kwargs is 'size'; give key=value"),
        ("own_environment:Reach", ["{size"], [], "not JSON"),
        ("own_environment:Reach", [], ["own_environment"], "give module:Class"),
        ("own_environment:Reach", [], ["own_environment:Picky"], "called with the environment"),
        ("own_environment:Reach", [], ["own_environment:None"], "has no attribute 'None'"),
        ("own_environment:STEPS", [], [], "not callable"),
        ("own_environment:Careless", [], [], r"it calls sys.exit \(no licence\); name a"),
        ("own_environment:Bare", [], [], "has no observation_space; set it"),
        (
            "own_environment:Whole",
            [],
            [],
            r"int64\); only continuous actions \(Box of real numbers",
        ),
        (
            "own_environment:Fixed",
            [],
            [],
            "a1 ranges from 1 to 1, which leaves only one value",
        ),
        ("own_environment:Nowhere", [], [], "cannot make the environment"),
        (
            "Pendulum-v1",
            ["mass=2"],
            [],
            r"unexpected keyword argument 'mass'; correct its --env-kwargs mass$",
        ),
        ("own_environment:Pictures", [], [], "an image beside other parts; wrap it so that it is"),
        ("no_such_module:Reach", [], [], "cannot import no_such_module"),
        ("own_environment:Switches", [], [], r"actions MultiDiscrete\(\[2 3\]\); only"),
        ("own_environment:Switches", [], [], r"numbers them all makes it Discrete\(6\): --wrapper"),
        ("own_environment:Lone", [], [], r"actions Discrete\(1\), which leaves only one value"),
        (
            "FrozenLake-v1",
            [],
            [],
            r"observations Discrete\(16\); only vectors .*: --wrapper gymnasium.wrappers:Flatten",
        ),
        ('{"id": 3}', [], [], "id and wrappers are text"),
        ("{}", [], [], "give an id, or JSON"),
    ],
)
def test_mistakes_are_one_line(
    env: str, words: list[str], wrapper: list[str], message: str, own: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        environment_signals(make_environment(named_environment(env, words, wrapper)))
    assert "\n" not in str(caught.value)


def test_the_mend_for_observations_that_are_choices_mends(own: Path) -> None:
    flat = named_environment("FrozenLake-v1", [], ["gymnasium.wrappers:FlattenObservation"])
    environment = make_environment(flat)
    signals = environment_signals(environment)
    assert [(entry["low"], entry["high"]) for entry in signals["observation"]] == [(0, 1)] * 16
    observation, _ = environment.reset(seed=0)
    assert sorted(observation.tolist()) == [0] * 15 + [1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("raise", r"RuntimeError: the arm is stuck \(own_environment.py, line \d+\) in step 7 of "),
        ("nan", "nan as 'place' 1 in step 7 of the episode with seed 5"),
        ("reward", "the reward inf in step 7 "),
        ("large", r"the reward 1e\+300 in step 7 .* not a finite number of float32"),
        ("none", "the reward None in step 7 "),
        ("two", r"the reward array\(\[1., 1.\]\) in step 7 "),
        ("exit", r"SystemExit: 7 \(own_environment.py, line \d+\) in step 7 of "),
        (
            "old",
            r"gave 4 values from step\(\) in step 7 of .*; Gymnasium's has 5: observation, rew",
        ),
    ],
)
def test_what_an_environment_does_wrong_is_told_with_its_step(
    bad: str, message: str, own: Path
) -> None:
    environment = make_environment("own_environment:Reach", {"bad": bad})
    environment.reset(seed=5)
    with pytest.raises(UserError, match=message) as caught:
        for _ in range(8):
            environment.step(ACTION)
    assert "\n" not in str(caught.value)


def test_a_reset_of_an_older_api_is_told(own: Path) -> None:
    environment = make_environment("own_environment:OldReset")
    with pytest.raises(
        UserError, match=r"gave a dict from reset\(\) at the start .* 2: observation and info"
    ):
        environment.reset(seed=5)


def test_an_episode_that_never_ends_does(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked_environment, "LONGEST_EPISODE", 50)
    environment = make_environment("own_environment:Endless")
    environment.reset(seed=0)
    with pytest.raises(UserError, match="has not ended after 50 steps; limit it"):
        for _ in range(51):
            environment.step(ACTION)
    limited = make_environment("own_environment:Endless", {"max_episode_steps": 5})
    limited.reset(seed=0)
    assert [limited.step(ACTION)[3] for _ in range(5)] == [False] * 4 + [True]


SOURCE = Path("student.safetensors")


def test_what_a_file_says_of_its_environment_holds() -> None:
    known = named_environment("Pendulum-v1", ["g=2"], [])
    assert chosen_environment(None, (), (), known, SOURCE) == known
    assert chosen_environment("Pendulum-v1", (), (), known, SOURCE) == known
    other = chosen_environment("Pendulum-v1", ("g=3",), (), known, SOURCE)
    assert other is not None and parts_of(other).kwargs == {"g": 3}
    assert chosen_environment(None, ("g=3",), (), known, SOURCE) == other
    assert chosen_environment(None, (), (), None, SOURCE) is None
    with pytest.raises(UserError, match="names no environment"):
        chosen_environment(None, ("g=3",), (), None, SOURCE)


def test_a_files_module_is_imported_only_where_the_user_names_it() -> None:
    known = named_environment("evil:Env-v0", [], [])
    with pytest.raises(UserError, match="only imported when you name it: --env evil:Env-v0"):
        chosen_environment(None, (), (), known, SOURCE)
    assert chosen_environment("evil:Env-v0", (), (), known, SOURCE) == known
    wrapped = named_environment("Pendulum-v1", [], ["evil:Wrapper"])
    with pytest.raises(UserError, match="--env Pendulum-v1 --wrapper evil:Wrapper"):
        chosen_environment("Pendulum-v1", (), (), wrapped, SOURCE)
    assert chosen_environment("Pendulum-v1", (), ("evil:Wrapper",), wrapped, SOURCE) == wrapped


def test_export_imports_no_module_that_a_policy_names(tmp_path: Path) -> None:
    signals = environment_signals(make_environment("Pendulum-v1"))
    weights = [(np.ones((1, 3), np.float32), np.zeros(1, np.float32))]
    write_teacher(tmp_path / "policy.onnx", weights, signals, "evil:Env-v0", {})
    with pytest.raises(UserError, match="export imports none; .* --env evil:Env-v0"):
        closed_loop(ExportConfig(tmp_path, tmp_path), 1, 0)


def test_a_dataset_and_what_comes_of_it_know_their_environment(own: Path) -> None:
    signals = environment_signals(make_environment("own_environment:Reach"))
    layer = StudentLayer(
        np.full((2, 5), 0.1, np.float32), np.zeros((2, 5), np.float32), np.zeros(2, np.float32)
    )
    env = named_environment("own_environment:Reach", ["gain=0.3"], [])
    metadata = {"activations": ["tanh"], "log_alpha_threshold": 9, "signals": signals}
    teacher = own / "teacher.safetensors"
    write_student(teacher, StudentFile((layer,), metadata | {"environment": env}))
    config = CollectConfig(teacher, "own_environment:Reach", own / "d.npz", 60, workers=1, noise=0)
    collect(config)
    dataset = read_dataset(config.out)
    assert dataset.metadata["environment"] == env
    assert [row["name"] for row in dataset.signals["observation"]] == NAMES
    first = evaluate(EvaluateConfig(teacher, env="own_environment:Reach", episodes=2))
    slow = ("gain=0.01",)
    other = evaluate(EvaluateConfig(teacher, "own_environment:Reach", 2, env_kwargs=slow))
    assert first["return_mean"] != other["return_mean"]
    with pytest.raises(UserError, match="raised RuntimeError"):
        collect(replace(config, env_kwargs=("bad=raise",), out=own / "new" / "other.npz"))
    with pytest.raises(UserError, match="worker process of own_environment:Deadly died"):
        collect(replace(config, env="own_environment:Deadly", out=own / "new" / "other.npz"))
    assert not (own / "new").exists()
