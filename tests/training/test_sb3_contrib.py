"""What sb3-contrib saves acts here as it does there, or is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import nn

from sparsectl.common.errors import UserError
from sparsectl.common.signal_ranges import Pair
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.acting.states import alone
from sparsectl.policy.load import LoadOptions, load, load_acting
from sparsectl.training.config import CollectConfig, EvaluateConfig
from sparsectl.training.data.files import read_dataset
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import evaluate
from tests.training.test_sb3_heads import Space, compare, saved

contrib = pytest.importorskip("sb3_contrib")

HEADS: list[tuple[str, dict[str, Any]]] = [
    ("TQC", {}),
    ("TQC", {"use_sde": True}),
    ("TQC", {"policy_kwargs": {"activation_fn": nn.ELU, "n_quantiles": 5, "n_critics": 1}}),
    ("TRPO", {}),
    ("TRPO", {"use_sde": True}),
    ("TRPO", {"use_sde": True, "policy_kwargs": {"squash_output": True}}),
    ("TRPO", {"policy_kwargs": {"activation_fn": nn.ReLU, "net_arch": {"pi": [9], "vf": [7]}}}),
    ("CrossQ", {}),
    ("CrossQ", {"use_sde": True, "policy_kwargs": {"batch_norm_eps": 0.1}}),
    ("CrossQ", {"policy_kwargs": {"batch_norm": False}}),
    ("CrossQ", {"policy_kwargs": {"net_arch": []}}),
    ("ARS", {}),
    ("ARS", {"policy_kwargs": {"squash_output": False, "with_bias": False}}),
]


@pytest.mark.parametrize(("algorithm", "settings"), HEADS)
def test_heads(algorithm: str, settings: dict[str, Any], tmp_path: Path) -> None:
    model = saved(tmp_path / "model.zip", getattr(contrib, algorithm), Space(), **dict(settings))
    observations = np.random.default_rng(0).normal(0, 1, (200, 3)).astype(np.float32)
    compare(model, tmp_path / "model.zip", observations)


def test_the_mean_of_large_observations_is_kept(tmp_path: Path) -> None:
    """A bias of float32 with the mean in it would lose what the observations differ by."""
    model = contrib.CrossQ("MlpPolicy", Space(), device="cpu", seed=1)
    first = model.policy.actor.latent_pi[0]
    mean = torch.tensor([1e6, 101_325.0, 0.0])
    with torch.no_grad():
        first.ra_mean.copy_(mean)
        first.ra_var.copy_(torch.tensor([9.0, 2e6, 1e-4]))
    model.save(tmp_path / "model.zip")
    rows = np.random.default_rng(0).normal(0, 1, (200, 3)) * np.sqrt([9.0, 2e6, 1e-4])
    compare(model, tmp_path / "model.zip", (rows + mean.numpy()).astype(np.float32))


@pytest.mark.parametrize("squash", [None, True])
def test_the_linear_policy_of_ars(squash: bool | None, tmp_path: Path) -> None:
    kwargs = {} if squash is None else {"squash_output": squash, "with_bias": True}
    model = contrib.ARS("LinearPolicy", Space(), device="cpu", policy_kwargs=kwargs)
    with torch.no_grad():
        model.policy.action_net[0].weight.normal_(0, 1)
    model.save(tmp_path / "model.zip")
    observations = np.random.default_rng(0).normal(0, 1, (200, 3)).astype(np.float32)
    compare(model, tmp_path / "model.zip", observations)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("QRDQN", {"n_quantiles": 7}),
        ("QRDQN", {"n_quantiles": 1, "net_arch": []}),
        ("TRPO", {}),
        ("ARS", {}),
    ],
)
def test_choices(algorithm: str, settings: dict[str, Any], tmp_path: Path) -> None:
    env, path = Space(done=Discrete(4)), tmp_path / "model.zip"
    model = saved(path, getattr(contrib, algorithm), env, policy_kwargs=settings)
    rows = np.random.default_rng(0).normal(0, 2, (300, 3)).astype(np.float32)
    expected = model.predict(rows, deterministic=True)[0]
    policy = load_acting(path)
    np.testing.assert_array_equal(policy.act(rows)[:, 0], expected)
    np.testing.assert_array_equal(load(path).forward(rows)[:, 0], expected)
    assert len(np.unique(expected)) > 1
    if algorithm == "QRDQN":
        with torch.no_grad():
            values = model.quantile_net(torch.as_tensor(rows)).mean(dim=1).numpy()
        np.testing.assert_allclose(policy.values(rows), values, atol=1e-5)


def recurrent(path: Path, env: Space, **settings: Any) -> Any:
    """A RecurrentPPO with parameters so large that its state matters."""
    kwargs = {"lstm_hidden_size": 8, "net_arch": [6], **settings}
    policy = "MlpLstmPolicy"
    model = contrib.RecurrentPPO(policy, env, device="cpu", seed=2, policy_kwargs=kwargs)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    model.save(path)
    return model


def predicted(model: Any, observations: Any) -> Any:
    """The library's deterministic actions [ticks, m] over one episode."""
    state, actions = None, []
    for tick, observation in enumerate(observations):
        start = np.array([tick == 0])
        action, state = model.predict(observation, state, start, deterministic=True)
        actions.append(np.atleast_1d(action))
    return np.stack(actions)


RECURRENT: list[tuple[Any, dict[str, Any]]] = [
    (None, {}),
    (None, {"n_lstm_layers": 2, "net_arch": [], "activation_fn": nn.ReLU}),
    (None, {"shared_lstm": True, "enable_critic_lstm": False}),
    (None, {"enable_critic_lstm": False, "lstm_kwargs": {"bias": False, "dropout": 0.0}}),
    (Discrete(4), {}),
]


@pytest.mark.parametrize(("done", "settings"), RECURRENT)
def test_recurrent_ppo(done: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    """Over episodes, each of which the library begins with episode_start."""
    path = tmp_path / "model.zip"
    model = recurrent(path, Space(done=done), **settings)
    graph, policy = load(path), load_acting(path)
    assert graph.state_size == 16 * settings.get("n_lstm_layers", 1)
    rng = np.random.default_rng(0)
    episodes = [rng.normal(0, 1, (ticks, 3)).astype(np.float32) for ticks in (40, 1, 60)]
    expected = [predicted(model, episode) for episode in episodes]
    for episode, actions in zip(episodes, expected, strict=True):
        act = alone(policy.acting)
        given = np.concatenate([act(row[None]) for row in episode])
        np.testing.assert_allclose(given, actions, atol=2e-5)
    resets = np.zeros(101, bool)
    resets[[0, 40, 41]] = True
    together = graph.run(np.concatenate(episodes), resets)
    np.testing.assert_allclose(together, np.concatenate(expected), atol=2e-5)
    assert np.ptp(np.concatenate(expected), axis=0).max() > 0.2
    fresh = np.stack([predicted(model, row[None])[0] for row in episodes[0]])
    assert np.abs(fresh - expected[0]).max() > 0.1  # the state matters


def test_recurrent_ppo_behind_its_normaliser(tmp_path: Path) -> None:
    path, normalizer = tmp_path / "model.zip", tmp_path / "normalizer.npz"
    model = recurrent(path, Space())
    mean, var = np.array([1e6, -3.0, 0.0]), np.array([9.0, 4.0, 1e-4])
    np.savez(normalizer, mean=mean, var=var, epsilon=1e-8, clip=2.5)
    rows = mean + np.sqrt(var) * np.random.default_rng(0).normal(0, 1.5, (50, 3))
    rows = rows.astype(np.float32)
    expected = predicted(model, np.clip((rows - mean) / np.sqrt(var + 1e-8), -2.5, 2.5))
    options = LoadOptions(normalizer=normalizer)
    np.testing.assert_allclose(load(path, options).run(rows), expected, atol=2e-5)
    policy = load_acting(path, options)
    np.testing.assert_allclose(policy.run(rows), expected, atol=2e-5)
    assert policy.normalizer_sha256 is not None


def test_recurrent_ppo_drives_and_is_exported(tmp_path: Path) -> None:
    path, env = tmp_path / "model.zip", "CartPole-v1"
    model = recurrent(path, Space(Box(-np.inf, np.inf, (4,), np.float32), Discrete(2)))
    result = evaluate(EvaluateConfig(path, env, episodes=3))
    expected, seen = [], CollectConfig(path, env, tmp_path / "d.npz", 60, workers=1)
    collect(seen)
    dataset = read_dataset(seen.out)
    ends = np.flatnonzero(dataset.terminations | dataset.truncations) + 1
    for episode in np.split(dataset.observations, ends):
        expected += [predicted(model, episode)] if len(episode) else []
    np.testing.assert_array_equal(dataset.teacher_actions, np.concatenate(expected))
    assert result["episodes"] == 3
    config = ExportConfig(path, tmp_path / "policy", observations=300, range=(Pair(-3.0, 3.0),))
    exported = export_policy(config)
    assert exported["bit_exact"] and exported["sequences"]["ticks"] == 300
    assert exported["max_abs_error"]["host_c"] == 0
    with pytest.raises(
        UserError, match="int16 rounds the weights, and export cannot tell how often"
    ):
        export_policy(replace(config, encoding="dense-int16"))


@pytest.mark.parametrize(
    ("algorithm", "settings", "complaint"),
    [
        ("RecurrentPPO", {"lstm_kwargs": {"bidirectional": True}}, "weight_ih_l0_reverse is part"),
        ("RecurrentPPO", {"lstm_kwargs": {"proj_size": 3}}, "weight_hr_l0 is part"),
        ("MaskablePPO", {}, "which choices there are"),
    ],
)
def test_what_would_act_otherwise_is_refused(
    algorithm: str, settings: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    if algorithm == "RecurrentPPO":
        recurrent(tmp_path / "model.zip", Space(), **settings)
    else:
        saved(tmp_path / "model.zip", getattr(contrib, algorithm), Space(done=Discrete(3)))
    with pytest.raises(UserError, match=complaint):
        load_acting(tmp_path / "model.zip")
