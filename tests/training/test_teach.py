"""Teachers: trained for a few steps, they leave a file that acts as the network did."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import SAC, TD3

from training.config import TeachConfig
from training.policy import load_policy
from training.signals import normaliser
from training.teach import sb3_weights, signals_of, teach
from training.teacher_file import write_teacher

ENV = "sparsectl/sensorsini_cartpole-v0"


@pytest.mark.parametrize("env", [ENV, "Pendulum-v1"])
@pytest.mark.parametrize("algorithm", [SAC, TD3])
def test_the_file_acts_as_the_network_does(
    tmp_path: Path, env: str, algorithm: type[SAC] | type[TD3]
) -> None:
    model = algorithm("MlpPolicy", env, policy_kwargs={"net_arch": [16, 12]}, seed=1)
    signals = signals_of(env)
    path = tmp_path / "teacher.onnx"
    write_teacher(path, sb3_weights(model), signals, env, {})
    policy = load_policy(path)
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
    policy = load_policy(tmp_path / "teacher.onnx")
    assert policy.parameters == 72_705
    with (tmp_path / "learning_curve.csv").open() as file:
        curve = list(csv.DictReader(file))
    assert [int(row["steps"]) for row in curve] == [3_000, 6_000]
    assert result["return_mean"] == max(float(row["return_mean"]) for row in curve)
