"""Every head that Stable-Baselines3 makes acts here as it does there, or is refused by name."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, flatten
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from sparsectl.common.errors import UserError
from sparsectl.policy.load import load, load_acting
from sparsectl.policy.sb3_file import ACTIVATION_NAMES
from sparsectl.training.environments.environments import FlatObservation

LOW, HIGH = np.float32([-2, 0.5]), np.float32([3, 1.25])
VECTOR = Box(-np.inf, np.inf, (3,), np.float32)
MATRIX = Box(-np.inf, np.inf, (2, 2), np.float64)


class Space(gymnasium.Env[Any, Any]):
    """Spaces to make models of, and no more; its actions are not ±1."""

    def __init__(self, seen: Any = VECTOR, done: Any = None) -> None:
        self.observation_space = seen
        self.action_space = Box(LOW, HIGH) if done is None else done

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


def saved(path: Path, algorithm: Any, env: Any, policy: str = "MlpPolicy", **settings: Any) -> Any:
    """A model with parameters so large that its actions are clipped or squashed now and then."""
    kwargs = {"net_arch": [8, 6], **settings.pop("policy_kwargs", {})}
    model = algorithm(policy, env, device="cpu", seed=1, policy_kwargs=kwargs, **settings)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    model.save(path)
    return model


HEADS: list[tuple[Any, dict[str, Any]]] = [
    (PPO, {}),
    (PPO, {"policy_kwargs": {"ortho_init": False, "share_features_extractor": False}}),
    (PPO, {"policy_kwargs": {"net_arch": []}}),
    (PPO, {"policy_kwargs": {"net_arch": {"pi": [5], "vf": [7, 7]}}}),
    (PPO, {"policy_kwargs": {"net_arch": {"pi": [], "vf": [7]}, "normalize_images": False}}),
    (PPO, {"use_sde": True}),
    (PPO, {"use_sde": True, "policy_kwargs": {"squash_output": True}}),
    (PPO, {"use_sde": True, "policy_kwargs": {"squash_output": True, "full_std": False}}),
    (A2C, {"use_sde": True, "policy_kwargs": {"squash_output": True, "use_expln": True}}),
    (A2C, {"policy_kwargs": {"features_extractor_class": FlattenExtractor}}),
    (SAC, {}),
    (SAC, {"policy_kwargs": {"net_arch": []}}),
    (
        SAC,
        {"policy_kwargs": {"net_arch": {"pi": [4], "qf": [3]}, "share_features_extractor": True}},
    ),
    (SAC, {"use_sde": True}),
    (SAC, {"use_sde": True, "policy_kwargs": {"clip_mean": 0.5}}),
    (SAC, {"use_sde": True, "policy_kwargs": {"clip_mean": 0.0, "net_arch": []}}),
    (SAC, {"use_sde": True, "policy_kwargs": {"net_arch": []}}),
    (TD3, {}),
    (TD3, {"policy_kwargs": {"net_arch": [], "n_critics": 1}}),
    (DDPG, {"policy_kwargs": {"activation_fn": nn.Tanh}}),
]


def compare(model: Any, path: Path, observations: Any, flat: Any = None) -> None:
    """What the file does, as a teacher and as what is exported, against what the model does, where
    that is no constant."""
    expected, _ = model.predict(observations, deterministic=True)
    rows = np.asarray(observations if flat is None else flat, np.float32)
    np.testing.assert_allclose(load_acting(path).act(rows), expected, atol=2e-5)
    graph = load(path)
    np.testing.assert_allclose(graph.forward(rows), expected, atol=2e-5)
    low, high = (np.float32([getattr(s, end) for s in graph.action]) for end in ("low", "high"))
    assert (LOW <= low).all() and (low < high).all() and (high <= HIGH).all()
    if "clip_mean" not in model.policy_kwargs and not getattr(model, "use_sde", False):
        assert (low == LOW).all() and (high == HIGH).all()  # gSDE's clip_mean narrows them
    assert np.ptp(expected) > 0.05


@pytest.mark.parametrize(("algorithm", "settings"), HEADS)
def test_heads(algorithm: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    model = saved(tmp_path / "model.zip", algorithm, Space(), **dict(settings))
    observations = np.random.default_rng(0).normal(0, 1, (200, 3)).astype(np.float32)
    compare(model, tmp_path / "model.zip", observations)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_activations(name: str, tmp_path: Path) -> None:
    kwargs = {"activation_fn": getattr(nn, name)}
    model = saved(tmp_path / "model.zip", A2C, Space(), policy_kwargs=kwargs)
    observations = np.random.default_rng(0).normal(0, 3, (200, 3)).astype(np.float32)
    compare(model, tmp_path / "model.zip", observations)


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_dict_and_matrix_observations(algorithm: Any, tmp_path: Path) -> None:
    seen = Dict({"z": VECTOR, "a": MATRIX, "m": Box(-np.inf, np.inf, (1,), np.float32)})
    env = Space(seen)
    model = saved(tmp_path / "model.zip", algorithm, env, "MultiInputPolicy")
    flat = FlatObservation(env, "Space")
    rng = np.random.default_rng(0)
    rows = [{k: rng.normal(0, 1, s.shape) for k, s in seen.spaces.items()} for _ in range(50)]
    batch = {key: np.stack([row[key] for row in rows]) for key in seen.spaces}
    vectors = np.stack([flat.observation(row) for row in rows])
    compare(model, tmp_path / "model.zip", batch, vectors)
    model = saved(tmp_path / "matrix.zip", algorithm, Space(MATRIX))
    matrices = rng.normal(0, 1, (50, 2, 2))
    compare(model, tmp_path / "matrix.zip", matrices, matrices.reshape(50, 4))


@pytest.mark.parametrize("algorithm", [PPO, SAC, DQN])
@pytest.mark.parametrize(
    ("space", "said"),
    [
        (Discrete(5), "it takes its observation as one-hot codes"),
        (MultiDiscrete([3, 4]), "it takes its observation as one-hot codes"),
        (MultiBinary([2, 3]), ""),
        (Dict(a=VECTOR, b=Discrete(4), c=MultiBinary(2)), "it takes b of its observation as"),
    ],
)
def test_whole_numbers_are_observed_as_flattened(
    algorithm: Any, space: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = Space(space, Discrete(3) if algorithm is DQN else None)
    policy = "MultiInputPolicy" if isinstance(space, Dict) else "MlpPolicy"
    model = saved(tmp_path / "model.zip", algorithm, env, policy, policy_kwargs={"net_arch": []})
    space.seed(0)
    samples = [space.sample() for _ in range(60)]
    expected = [np.atleast_1d(model.predict(one, deterministic=True)[0]) for one in samples]
    rows = np.float32([flatten(space, one) for one in samples]).reshape(60, -1)
    np.testing.assert_allclose(load(tmp_path / "model.zip").forward(rows), expected, atol=2e-5)
    assert len(np.unique(expected, axis=0)) > 1
    warned = capsys.readouterr().err
    assert said in warned if said else not warned


class Half(FlattenExtractor):
    """A features extractor that has no parameters, and yet changes what the actor sees."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return 0.5 * super().forward(observations)


class Negative(ActorCriticPolicy):
    """A policy of one's own."""

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        return -super()._predict(observation, deterministic)


class ReLU(nn.Tanh):
    """Not what its name says."""


LEAKY = functools.partial(nn.LeakyReLU, 0.3)
IMAGE = Box(0, 255, (36, 36, 3), np.uint8)


@pytest.mark.parametrize(
    ("algorithm", "env", "policy", "settings", "message"),
    [
        (PPO, Space(), "MlpPolicy", {"policy_kwargs": {"activation_fn": LEAKY}}, "partial"),
        (PPO, Space(), "MlpPolicy", {"policy_kwargs": {"activation_fn": ReLU}}, "heads.ReLU"),
        (
            PPO,
            Space(),
            "MlpPolicy",
            {"policy_kwargs": {"activation_fn": nn.PReLU}},
            "layers at places",
        ),
        (PPO, Space(), Negative, {}, "class of its own"),
        (PPO, Space(), "MlpPolicy", {"policy_kwargs": {"features_extractor_class": Half}}, "Half"),
        (
            PPO,
            Space(done=MultiDiscrete([3, 2])),
            "MlpPolicy",
            {},
            "MultiDiscrete actions, and only",
        ),
        (PPO, Space(IMAGE), "MlpPolicy", {}, "images of shape"),
        (PPO, Space(IMAGE), "CnnPolicy", {}, "NatureCNN|images|features_extractor"),
    ],
)
def test_what_would_act_otherwise_is_refused(
    algorithm: Any, env: Any, policy: Any, settings: Any, message: str, tmp_path: Path
) -> None:
    saved(tmp_path / "model.zip", algorithm, env, policy, **dict(settings))
    with pytest.raises(UserError, match=message) as caught:
        load_acting(tmp_path / "model.zip")
    assert "\n" not in str(caught.value)
