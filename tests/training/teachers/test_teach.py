"""Teachers: trained for a few steps, they leave a file that acts as the network did."""

from __future__ import annotations

import csv
import importlib
import os
import signal
import sys
import tempfile
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO, SAC, TD3

import sparsectl.plants  # noqa: F401  the import registers sparsectl/...
from sparsectl.common.errors import UserError
from sparsectl.policy.load import load, load_acting
from sparsectl.policy.signals_json import normaliser
from sparsectl.training.config import TeachConfig
from sparsectl.training.environments.environments import named_environment
from sparsectl.training.nn.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sparsectl.training.teachers import teach as teaching_loop
from sparsectl.training.teachers.algorithms import ALGORITHMS
from sparsectl.training.teachers.backends import BACKENDS
from sparsectl.training.teachers.quiet_logger import quietened
from sparsectl.training.teachers.teach import _model, signals_of, teach
from sparsectl.training.teachers.teacher_file import teacher_act, write_teacher
from sparsectl.training.teachers.teaching import Teaching, known_of, resolved

ENV = "sparsectl/sensorsini_cartpole-v0"


@pytest.mark.parametrize("env", [ENV, "Pendulum-v1"])
@pytest.mark.parametrize("algorithm", [SAC, TD3])
def test_the_file_acts_as_the_network_does(
    tmp_path: Path, env: str, algorithm: type[SAC] | type[TD3]
) -> None:
    model = algorithm("MlpPolicy", env, policy_kwargs={"net_arch": [16, 12]}, seed=1)
    signals = signals_of(env)
    path = tmp_path / "teacher.onnx"
    write_teacher(path, BACKENDS["sb3"].weights(model), signals, env, {})
    policy = load_acting(path)
    offset, scale, *_ = normaliser(signals)
    size = len(scale)
    observations = np.random.default_rng(0).normal(0, 2, (200, size)).astype(np.float32)
    expected, _ = model.predict((observations - offset) / scale, deterministic=True)
    assert np.abs(policy.act(observations) - expected).max() < 1e-5
    assert policy.environment == env


def test_a_short_training_leaves_teacher_curve_and_summary(tmp_path: Path) -> None:
    config = TeachConfig(
        env=ENV,
        steps=6_000,
        environments=8,
        updates_per_step=0.02,
        evaluate_every=3_000,
        evaluate_episodes=2,
        out=tmp_path,
    )
    result = teach(config)
    policy = load_acting(tmp_path / "teacher.onnx")
    assert policy.parameters == 72_705
    with (tmp_path / "learning_curve.csv").open() as file:
        curve = list(csv.DictReader(file))
    assert [int(row["steps"]) for row in curve] == [3_000, 6_000]
    assert result["return_mean"] == max(float(row["return_mean"]) for row in curve)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_training_leaves_no_temporary_files(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(BACKENDS[backend].module)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    config = TeachConfig(
        env="Pendulum-v1",
        backend=backend,
        environments=1,
        steps=60,
        learning_starts=30,
        hidden=(8,),
        evaluate_every=60,
        evaluate_episodes=1,
        out=tmp_path / "teacher",
    )
    teach(config)
    left = [each.name for each in temporary.iterdir()]
    # torch's compiler caches in one folder for each user.
    assert [name for name in left if not name.startswith("torchinductor_")] == []


@pytest.mark.parametrize("algorithm", ["SAC", "TD3"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_restored_model_learns_on_as_the_first(backend: str, algorithm: str) -> None:
    library = pytest.importorskip(BACKENDS[backend].module)

    def model(seed: int) -> Any:
        settings = {"learning_starts": 8, "batch_size": 8, "policy_kwargs": {"net_arch": [8, 8]}}
        return getattr(library, algorithm)("MlpPolicy", "Pendulum-v1", seed=seed, **settings)

    def learnt(of: Any) -> list[tuple[Any, Any]]:
        np.random.seed(3)
        if backend == "sb3":
            importlib.import_module("torch").manual_seed(3)
        of.train(gradient_steps=4, batch_size=8)
        return BACKENDS[backend].weights(of)

    first, second = model(0), model(1)
    quietened(first).learn(30)
    state = {name: value.clone() for name, value in BACKENDS[backend].state(first).items()}
    BACKENDS[backend].restore(second, state)
    second.replay_buffer, second._n_updates = first.replay_buffer, first._n_updates
    second._logger, second._current_progress_remaining = first.logger, 0.5
    first._current_progress_remaining = 0.5
    for (weight, bias), (again, its_bias) in zip(learnt(first), learnt(second), strict=True):
        np.testing.assert_array_equal(weight, again)
        np.testing.assert_array_equal(bias, its_bias)


def killed_after_an_evaluation(config: TeachConfig) -> None:
    """Teach, and die by SIGKILL once the first checkpoint has its name."""

    def write(path: Path, state: Checkpoint) -> None:
        write_checkpoint(path, state)
        os.kill(os.getpid(), signal.SIGKILL)

    with patch.object(teaching_loop, "write_checkpoint", write):
        teach(config)


def test_a_killed_training_goes_on_from_its_last_evaluation(trainers: None, tmp_path: Path) -> None:
    config = TeachConfig(
        env="Pendulum-v1",
        environments=1,
        steps=900,
        learning_starts=100,
        hidden=(16, 16),
        evaluate_every=300,
        evaluate_episodes=1,
        out=tmp_path,
    )
    child = get_context("forkserver").Process(target=killed_after_an_evaluation, args=(config,))
    root = str(Path(__file__).parents[3])
    with patch.object(sys, "path", [*sys.path, root]):  # the child's, which has to find this file
        child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    checkpoint = tmp_path / "checkpoint.safetensors"
    before = read_checkpoint(checkpoint)
    assert before.steps["teach"] == 300
    teach(config)
    after = read_checkpoint(checkpoint)
    assert after.steps["teach"] == config.steps
    assert after.report[: len(before.report)] == before.report
    assert after.steps["updates"] - before.steps["updates"] == 900 - before.steps["teach"]
    with pytest.raises(UserError, match="a different seed"):
        teach(replace(config, seed=5))


@pytest.mark.parametrize("first_of_stretch", [0, 5])
@pytest.mark.parametrize(("algorithm", "values"), [(DQN, "q_values"), (PPO, "logits")])
def test_a_file_that_chooses_does_so_as_the_network(
    tmp_path: Path, algorithm: Any, values: str, first_of_stretch: int
) -> None:
    model = algorithm("MlpPolicy", "Acrobot-v1", policy_kwargs={"net_arch": [16, 12]}, seed=1)
    signals = signals_of("Acrobot-v1")
    choice = signals["action"][0]
    for end in ("offset", "low", "high"):
        choice[end] += first_of_stretch
    path = tmp_path / "teacher.onnx"
    form = ALGORITHMS[algorithm.__name__.lower()].form
    weights = BACKENDS["sb3"].weights(model)
    write_teacher(path, weights, signals, "Acrobot-v1", {}, form)
    policy = load_acting(path)
    observations = np.random.default_rng(0).normal(0, 2, (300, 6)).astype(np.float32)
    expected, _ = model.predict(observations, deterministic=True)
    assert policy.values_kind == values and len(set(expected)) > 1
    np.testing.assert_array_equal(policy.act(observations)[:, 0], expected + first_of_stretch)
    np.testing.assert_array_equal(load(path).forward(observations), policy.act(observations))
    acts = teacher_act(weights, signals, form)
    np.testing.assert_array_equal(acts(observations), policy.act(observations))


@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
def test_teachers_that_choose_are_taught_and_go_on(
    algorithm: Literal["dqn", "ppo"], trainers: None, tmp_path: Path
) -> None:
    config = TeachConfig(
        env="CartPole-v1",
        algo=algorithm,
        steps=1_024,
        hidden=(16,),
        learning_starts=100 if algorithm == "dqn" else None,
        evaluate_every=512,
        evaluate_episodes=2,
        out=tmp_path,
    )
    child = get_context("forkserver").Process(target=killed_after_an_evaluation, args=(config,))
    root = str(Path(__file__).parents[3])
    with patch.object(sys, "path", [*sys.path, root]):
        child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    before = read_checkpoint(tmp_path / "checkpoint.safetensors")
    assert before.steps["teach"] == 512 and ("replay/actions" in before.tensors) == (
        algorithm == "dqn"
    )
    result = teach(config)
    assert [
        row["steps"] for row in read_checkpoint(tmp_path / "checkpoint.safetensors").report
    ] == [
        512,
        1_024,
    ]
    assert load_acting(tmp_path / "teacher.onnx").choices is not None
    assert result["return_mean"] >= 8


def test_choices_that_do_not_count_from_0_are_taught(tmp_path: Path) -> None:
    config = TeachConfig(
        env="tests.training.own_environment:Lever",
        algo="dqn",
        steps=600,
        hidden=(16,),
        learning_rate=1e-2,
        learning_starts=100,
        evaluate_every=600,
        evaluate_episodes=5,
        out=tmp_path,
    )
    assert teach(config)["return_mean"] > 5  # of 20; by chance it is 0
    policy = load_acting(tmp_path / "teacher.onnx")
    assert policy.choices is not None and (policy.choices.first, policy.choices.count) == (-1, 3)
    seen = np.float32([[-0.9, 0.1], [0.9, 0.1]])
    np.testing.assert_array_equal(policy.act(seen), [[-1], [1]])


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_a_training_that_diverges_is_told_and_leaves_no_teacher(algo: Any, tmp_path: Path) -> None:
    config = TeachConfig(
        env="tests.training.own_environment:Vast",
        algo=algo,
        steps=60,
        hidden=(8,),
        environments=1,
        learning_starts=20,
        batch_size=8,
        evaluate_every=60,
        evaluate_episodes=1,
        out=tmp_path,
    )
    with pytest.raises(UserError, match="training diverged: .* no longer finite at step"):
        teach(config)
    assert not (tmp_path / "teacher.onnx").exists()


def settings_of(**given: Any) -> Teaching:
    return resolved(TeachConfig(**given))


def test_environments_of_the_zoo_have_its_settings() -> None:
    known = settings_of(env="Pendulum-v1", algo="td3")
    assert (known.steps, known.learning_rate, known.discount) == (20_000, 1e-3, 0.98)
    assert (known.hidden, known.exploration_noise, known.learning_starts) == (
        (400, 300),
        0.1,
        10_000,
    )
    assert settings_of(env="Hopper-v5").steps == 1_000_000
    assert settings_of(env="Pendulum-v1", steps=7, hidden=(8,)).steps == 7
    lunar = named_environment("LunarLander-v3", ["continuous=true"], [])
    assert settings_of(env=lunar, algo="td3").steps == 300_000
    changed = named_environment("Pendulum-v1", ["g=2"], [])
    assert settings_of(env=changed) == settings_of(env=ENV) == Teaching()
    assert settings_of(env=ENV, algo="td3").exploration_noise == 0.1
    car = TeachConfig(env="MountainCar-v0", algo="dqn")
    given = ALGORITHMS["dqn"].keywords(car, resolved(car), signals_of(car.env))
    assert (given["train_freq"], given["gradient_steps"], given["tau"]) == (16, 8, 1.0)


@pytest.mark.parametrize(
    ("algo", "env", "of_the_zoo"),
    [("td3", "Pendulum-v1", 256), ("dqn", "CartPole-v1", 64), ("ppo", "CartPole-v1", 256)],
)
def test_the_transitions_of_an_update(algo: Any, env: str, of_the_zoo: int) -> None:
    signals = signals_of(env)
    for given, used in ((None, of_the_zoo), (100, 100)):
        config = TeachConfig(env=env, algo=algo, batch_size=given)
        assert ALGORITHMS[algo].keywords(config, resolved(config), signals)["batch_size"] == used


def test_what_the_zoos_agent_returned_is_told_with_what_is_not_its_setting() -> None:
    asked = TeachConfig("Pendulum-v1", "td3")
    known = known_of(asked)
    assert known is not None
    said = known.described(resolved(asked))
    assert said.startswith("settings of RL Baselines3 Zoo; its own agent returned -152 (")
    changed = known.described(resolved(replace(asked, hidden=(64, 64), steps=15_000)))
    assert changed.startswith("settings of RL Baselines3 Zoo, but for steps, hidden; its own agent")
    assert known_of(TeachConfig(ENV)) is None


@pytest.mark.parametrize(("noise", "explores"), [(None, True), (0.0, False)])
def test_td3_explores(noise: float | None, explores: bool, tmp_path: Path) -> None:
    config = TeachConfig("Pendulum-v1", "td3", hidden=(8,), exploration_noise=noise, out=tmp_path)
    signals = signals_of(config.env)
    model = _model(config, resolved(config), BACKENDS["sb3"], signals, seed=0)
    model._setup_learn(100)
    model.num_timesteps = model.learning_starts + 1
    drawn = [
        model._sample_action(model.learning_starts, model.action_noise)[0][0] for _ in range(20)
    ]
    assert (np.ptp(drawn) > 0.1) == explores


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0; give a number from 1"),
        ({"steps": 50}, "learning_starts is 100, but steps is 50, so nothing would be learnt"),
        ({"environments": 0}, "environments is 0"),
        ({"hidden": ()}, "hidden is empty"),
        ({"hidden": (8, -1)}, "hidden is -1"),
        ({"hidden": (10**9,)}, "hidden is 1000000000"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"discount": 1.5}, "discount is 1.5; give a number from 0 to 1"),
        ({"evaluate_episodes": 0}, "evaluate_episodes is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"out": Path("/proc/zz")}, "cannot write /proc/zz"),
        ({"env": "CartPole-v1"}, "CartPole-v1 takes one of 2 choices; give --algo dqn or ppo"),
        # What cannot be mended by more steps is said first.
        ({"env": "CartPole-v1", "steps": 50}, "CartPole-v1 takes one of 2 choices; give --algo"),
        ({"algo": "dqn"}, "Pendulum-v1 takes 1 real numbers; give --algo sac or td3"),
        (
            {"algo": "ppo", "env": "CartPole-v1", "updates_per_step": 1.0},
            "updates_per_step is 1.0, which ppo does not have",
        ),
        (
            {"algo": "dqn", "env": "CartPole-v1", "exploration_noise": 0.1},
            "exploration_noise is 0.1, which dqn does not have",
        ),
        ({"algo": "dqn", "env": "CartPole-v1", "backend": "sbx"}, "needs --backend sb3"),
    ],
)
def test_mistakes_are_told_before_work_starts(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = TeachConfig(env="Pendulum-v1", out=tmp_path / "new")
    with pytest.raises(UserError, match=message) as caught:
        teach(replace(config, **change))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
