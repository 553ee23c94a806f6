"""A normaliser of VecNormalize's is taken as an npz, and missed aloud."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, flatten
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.policy.load import LoadOptions, load, load_acting
from sparsectl.policy.normalizer import SAVE, read_normalizer
from sparsectl.training.config import CollectConfig, EvaluateConfig
from sparsectl.training.data.files import read_dataset
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import evaluate
from sparsectl.training.teachers.quiet_logger import quietened

ENV = "Pendulum-v1"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def trained(tmp_path: Path) -> tuple[PPO, VecNormalize, Path]:
    """A model behind VecNormalize after one rollout, saved as people do, and its normaliser."""
    vector = VecNormalize(DummyVecEnv([lambda: make_environment(ENV)]), clip_obs=1.5)
    settings: dict[str, Any] = {"n_steps": 64, "batch_size": 32, "n_epochs": 1}
    model = PPO("MlpPolicy", vector, device="cpu", seed=0, **settings)
    quietened(model).learn(64)
    folder = tmp_path / "ppo"
    model.save(folder / "model.zip")
    vector.save(str(folder / "vecnormalize.pkl"))
    return model, vector, folder


def npz_of(folder: Path) -> Path:
    """By the line that the messages give, run as a user runs it."""
    code = SAVE.removeprefix('python -c "').removesuffix('"')
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)
    return folder / "normalizer.npz"


def test_a_policy_behind_its_normaliser_acts_as_there(
    trained: tuple[PPO, VecNormalize, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model, vector, folder = trained
    warn.cache_clear()
    path, normalizer = folder / "model.zip", npz_of(folder)
    policy = load_acting(path, LoadOptions(normalizer=normalizer))
    assert capsys.readouterr().err == ""
    observations = np.random.default_rng(0).normal(0, 4, (200, 3)).astype(np.float32)
    seen = vector.normalize_obs(observations)
    assert np.abs(seen).max() == 1.5  # some are clipped
    expected, _ = model.predict(seen, deterministic=True)
    np.testing.assert_allclose(policy.act(observations), expected, atol=1e-5)
    graph = load(path, LoadOptions(normalizer=normalizer))
    np.testing.assert_allclose(graph.forward(observations), expected, atol=1e-5)
    collect(
        CollectConfig(path, ENV, folder / "d.npz", 50, noise=0, workers=1, normalizer=normalizer)
    )
    dataset = read_dataset(folder / "d.npz")
    expected, _ = model.predict(vector.normalize_obs(dataset.observations), deterministic=True)
    np.testing.assert_allclose(dataset.teacher_actions, expected, atol=1e-5)
    digest = read_normalizer(normalizer).sha256
    assert dataset.metadata["teacher"]["normalizer_sha256"] == digest


def test_a_normaliser_that_lacks_is_missed_aloud(
    trained: tuple[PPO, VecNormalize, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, folder = trained
    warn.cache_clear()
    load_acting(folder / "model.zip")
    assert "vecnormalize.pkl lies beside it" in capsys.readouterr().err
    (folder / "vecnormalize.pkl").unlink()
    load_acting(folder / "model.zip")
    said = capsys.readouterr().err
    assert "was trained with VecNormalize; give its mean and variance with --normalizer" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["vec_normalize.pkl", "stats.pkl"])
def test_a_normaliser_is_known_by_its_content(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Off-policy zips show no other sign; the first name is that of the library's own examples."""
    vector = VecNormalize(DummyVecEnv([lambda: make_environment(ENV)]))
    SAC("MlpPolicy", vector, device="cpu", buffer_size=10).save(tmp_path / "model.zip")
    (tmp_path / "other.pkl").write_bytes(b"\x80\x04}.")
    warn.cache_clear()
    load_acting(tmp_path / "model.zip")
    assert "warning" not in capsys.readouterr().err
    vector.save(str(tmp_path / name))
    load_acting(tmp_path / "model.zip")
    assert f"{name} lies beside it" in capsys.readouterr().err


def test_a_zip_without_one_is_not_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warn.cache_clear()
    model = PPO("MlpPolicy", ENV, device="cpu", n_steps=64, batch_size=32, n_epochs=1)
    quietened(model).learn(64)
    model.save(tmp_path / "model.zip")
    evaluate(EvaluateConfig(tmp_path / "model.zip", ENV, 1))
    other = tmp_path / "other"  # which has a normaliser of a model of its own
    other.mkdir()
    (other / "vecnormalize.pkl").touch()
    (other / "model.zip").touch()
    load_acting(tmp_path / "model.zip")
    assert "warning" not in capsys.readouterr().err
    (other / "model.zip").unlink()  # as RL Baselines3 Zoo lays them out
    load_acting(tmp_path / "model.zip")
    assert "other/vecnormalize.pkl lies beside it" in capsys.readouterr().err


@pytest.mark.parametrize("activation", ["Tanh", "ReLU"])
def test_inputs_far_from_those_of_training_are_told(
    activation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first layer as it is behind a normaliser that divides by a hundredth."""
    import torch

    warn.cache_clear()
    kwargs = {"activation_fn": getattr(torch.nn, activation)}
    model = PPO("MlpPolicy", ENV, device="cpu", policy_kwargs=kwargs)
    with torch.no_grad():
        model.policy.mlp_extractor.policy_net[0].weight.mul_(100)
    model.save(tmp_path / "model.zip")
    evaluate(EvaluateConfig(tmp_path / "model.zip", ENV, 1))
    said = capsys.readouterr().err
    assert "first layer" in said and "--normalizer" in said


GOOD = {"mean": np.zeros(3), "var": np.ones(3)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mean": np.zeros(3)}, "has no var"),
        (GOOD | {"var": np.ones(2)}, r"mean is \(3,\), var \(2,\)"),
        (GOOD | {"var": -np.ones(3)}, "not below 0"),
        (GOOD | {"mean": np.full(3, np.nan)}, "must be finite"),
        (GOOD | {"epsilon": np.array(0.0)}, "both are over 0"),
        (GOOD | {"clip": np.array(-1.0)}, "both are over 0"),
        (GOOD | {"clip": np.ones(2)}, "clip one number or 3"),
        (GOOD | {"mean": np.array([{}, 1, 2])}, "not an npz of arrays"),
        (GOOD | {"mean": np.array(["a", "b", "c"])}, "not an npz of arrays"),
        ({"mean": np.zeros(4), "var": np.ones(4)}, "normalises 4 observations, .* takes 3"),
    ],
)
def test_bad_normalisers_are_one_line(arrays: Any, message: str, tmp_path: Path) -> None:
    PPO("MlpPolicy", ENV, device="cpu").save(tmp_path / "model.zip")
    np.savez(tmp_path / "n.npz", **arrays)
    with pytest.raises(UserError, match=message) as caught:
        load_acting(tmp_path / "model.zip", LoadOptions(normalizer=tmp_path / "n.npz"))
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_decoded(tmp_path: Path) -> None:
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(pickle.dumps(GOOD))
    with pytest.raises(UserError, match="is a pickle.*make an .npz of it: python -c"):
        read_normalizer(path)
    path.rename(tmp_path / "vecnormalize.npz")
    with pytest.raises(UserError, match="is not an npz"):
        read_normalizer(tmp_path / "vecnormalize.npz")
    with pytest.raises(UserError, match="no normaliser at"):
        read_normalizer(tmp_path / "none.npz")


class Parts(gymnasium.Env[Any, Any]):
    """Parts of a Dict, or one matrix; nothing happens in it."""

    action_space = Box(-1, 1, (2,))

    def __init__(self, space: Any) -> None:
        self.observation_space = space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        return self.observation_space.sample(), {}


DICT = Dict(z=Box(-9, 9, (2,)), a=Box(-9, 9, (2, 2)), free=Box(-99, 99, (1,)))


@pytest.mark.parametrize("space", [DICT, Box(-9, 9, (2, 3))], ids=["dict", "matrix"])
def test_normalisers_of_parts_and_matrices(space: Any, tmp_path: Path) -> None:
    keys = {"norm_obs_keys": ["z", "a"]} if space is DICT else {}
    vector = VecNormalize(DummyVecEnv([lambda: Parts(space)]), clip_obs=1.5, **keys)
    random = np.random.default_rng(0)
    statistics = vector.obs_rms.values() if space is DICT else [vector.obs_rms]
    for known in statistics:
        known.mean = random.normal(0, 2, known.mean.shape)
        known.var = random.uniform(0.5, 4, known.var.shape)
    model = PPO("MultiInputPolicy" if space is DICT else "MlpPolicy", vector, device="cpu", seed=0)
    model.save(tmp_path / "model.zip")
    vector.save(str(tmp_path / "vecnormalize.pkl"))
    page = (ROOT / "docs" / "own_policy.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    if space is DICT:
        subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    else:
        npz_of(tmp_path)
    space.seed(0)
    seen = [space.sample() for _ in range(100)]
    rows = np.float32([flatten(space, one) for one in seen])
    together = (
        {key: np.stack([one[key] for one in seen]) for key in space.spaces}
        if space is DICT
        else np.stack(seen)
    )
    expected, _ = model.predict(vector.normalize_obs(together), deterministic=True)
    asked = LoadOptions(normalizer=tmp_path / "normalizer.npz")
    for found in (
        load(tmp_path / "model.zip", asked).forward(rows),
        load_acting(tmp_path / "model.zip", asked).act(rows),
    ):
        np.testing.assert_allclose(found, expected, atol=2e-6)
    assert space is not DICT or np.abs(rows).max() > 10  # of the part that is left as it is
