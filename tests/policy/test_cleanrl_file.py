"""What a script of CleanRL saves acts here as its network does in torch, or is refused by name.

The networks have the names and shapes that the scripts give theirs (docs.cleanrl.dev).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.load import LoadOptions, load, load_acting

INPUTS, CHOICES, ACTIONS = 5, 3, 2
Head = Callable[[Any, Tensor], Tensor]


def sequential(activation: type[nn.Module], outputs: int) -> nn.Sequential:
    """The shape of the scripts' networks: two hidden layers."""
    hidden = nn.Linear(INPUTS, 16), activation(), nn.Linear(16, 8), activation()
    return nn.Sequential(*hidden, nn.Linear(8, outputs))


class QNetwork(nn.Module):  # type: ignore[misc]
    """dqn.py's."""

    def __init__(self) -> None:
        super().__init__()
        self.network = sequential(nn.ReLU, CHOICES)


class Agent(nn.Module):  # type: ignore[misc]
    """ppo.py's, which chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = sequential(nn.Tanh, 1)
        self.actor = sequential(nn.Tanh, CHOICES)


class ContinuousAgent(nn.Module):  # type: ignore[misc]
    """ppo_continuous_action.py's."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = sequential(nn.Tanh, 1)
        self.actor_mean = sequential(nn.Tanh, ACTIONS)
        self.actor_logstd = nn.Parameter(torch.zeros(1, ACTIONS))


class Actor(nn.Module):  # type: ignore[misc]
    """td3_continuous_action.py's; SAC's with another name for the last layer."""

    def __init__(self, last: str = "fc_mu", rows: tuple[int, ...] = (ACTIONS,)) -> None:
        super().__init__()
        self.last = last
        self.fc1, self.fc2 = nn.Linear(INPUTS, 16), nn.Linear(16, 8)
        setattr(self, last, nn.Linear(8, ACTIONS))
        if last == "fc_mean":
            self.fc_logstd = nn.Linear(8, ACTIONS)
        self.register_buffer("action_scale", torch.tensor([2.0, 0.5]).reshape(rows))
        self.register_buffer("action_bias", torch.tensor([1.0, -0.25]).reshape(rows))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.fc2(torch.relu(self.fc1(x))))
        return torch.tanh(getattr(self, self.last)(hidden)) * self.action_scale + self.action_bias


def chosen(values: Tensor) -> Tensor:
    return values.argmax(1, keepdim=True).float()


SAVED: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], Any], Head]] = {
    "dqn": (QNetwork, lambda m: m.state_dict(), lambda m, x: chosen(m.network(x))),
    "ppo": (Agent, lambda m: m.state_dict(), lambda m, x: chosen(m.actor(x))),
    "ppo_continuous": (
        ContinuousAgent,
        lambda m: m.state_dict(),
        lambda m, x: m.actor_mean(x),
    ),
    "td3": (Actor, lambda m: (m.state_dict(), {"critic": torch.zeros(3)}), lambda m, x: m(x)),
    "td3, earlier": (
        lambda: Actor(rows=(1, ACTIONS)),
        lambda m: (m.state_dict(), {}),
        lambda m, x: m(x),
    ),
    "sac": (lambda: Actor("fc_mean"), lambda m: m.state_dict(), lambda m, x: m(x)),
}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", SAVED)
def test_acts_as_in_torch(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, content, acts = SAVED[name]
    torch.manual_seed(0)
    model = make()
    path = saved(tmp_path / "run.cleanrl_model", content(model))
    observations = np.random.default_rng(0).normal(0, 2, (500, INPUTS)).astype(np.float32)
    with torch.no_grad():
        wanted = acts(model, torch.from_numpy(observations)).numpy()
    graph, policy = load(path), load_acting(path)
    warned = capsys.readouterr().err
    assert "does not say its activations" in warned
    assert ("normalises observations" in warned) == (name == "ppo_continuous")
    np.testing.assert_allclose(graph.forward(observations), wanted, rtol=0, atol=2e-6)
    np.testing.assert_allclose(policy.act(observations), wanted, rtol=0, atol=2e-6)


def test_td3_has_the_bounds_of_its_actions(tmp_path: Path) -> None:
    path = saved(tmp_path / "run.cleanrl_model", (Actor().state_dict(),))
    assert [(s.low, s.high) for s in load(path).action] == [(-1.0, 3.0), (-0.75, 0.25)]


def test_a_normaliser_comes_beside_it(tmp_path: Path) -> None:
    model = ContinuousAgent()
    path = saved(tmp_path / "run.cleanrl_model", model.state_dict())
    mean, var = np.linspace(-1, 1, INPUTS), np.linspace(0.1, 4, INPUTS)
    np.savez(tmp_path / "normalizer.npz", mean=mean, var=var)
    observations = np.random.default_rng(0).normal(0, 2, (200, INPUTS)).astype(np.float32)
    seen = np.clip((observations - mean) / np.sqrt(var + 1e-8), -10, 10).astype(np.float32)
    with torch.no_grad():
        wanted = model.actor_mean(torch.from_numpy(seen)).numpy()
    graph = load(path, LoadOptions(normalizer=tmp_path / "normalizer.npz"))
    np.testing.assert_allclose(graph.forward(observations), wanted, rtol=0, atol=2e-6)


def test_q_values_are_labels(tmp_path: Path) -> None:
    model = QNetwork()
    policy = load_acting(saved(tmp_path / "run.cleanrl_model", model.state_dict()))
    observations = np.random.default_rng(0).normal(0, 2, (9, INPUTS)).astype(np.float32)
    values = policy.values(observations)
    assert policy.values_kind == "q_values" and values is not None
    with torch.no_grad():
        np.testing.assert_allclose(
            values, model.network(torch.from_numpy(observations)).numpy(), rtol=0, atol=2e-6
        )


def _without_scale() -> Any:
    return {k: v for k, v in Actor().state_dict().items() if k != "action_scale"}


def _with_norm() -> Any:
    layers = nn.Linear(INPUTS, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, CHOICES)
    return {f"network.{k}": v for k, v in nn.Sequential(*layers).state_dict().items()}


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "C51": (
        lambda: {"model_weights": QNetwork().state_dict(), "args": {"n_atoms": 51}},
        "of CleanRL's c51.py, whose network gives distributions",
    ),
    "images": (lambda: {"network.0.weight": torch.zeros(4, 4, 8, 8)}, "observes images"),
    "a normalising layer": (_with_norm, "others between them than activations"),
    "a layer more": (
        lambda: QNetwork().state_dict() | {"embed.weight": torch.zeros(3, 3)},
        "embed.weight is in no network of CleanRL's dqn.py",
    ),
    "no bounds": (_without_scale, "has no action_scale"),
    "bounds of other actions": (
        lambda: Actor().state_dict() | {"action_bias": torch.zeros(5)},
        "action_bias has 5 numbers for 2 actions",
    ),
    "diverged": (
        lambda: QNetwork().state_dict() | {"network.0.bias": torch.full((16,), torch.nan)},
        "has NaN or infinity",
    ),
    "another shape": (
        lambda: QNetwork().state_dict() | {"network.2.weight": torch.zeros(8, 15)},
        "do not chain",
    ),
    "a tensor": (lambda: torch.zeros(3), "holds a Tensor, not a state dict"),
    "nothing": (dict, "has no tensors"),
    "the module itself": (QNetwork, "is not a torch state dict"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_act_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    content, complaint = REFUSED[name]
    path = saved(tmp_path / "run.cleanrl_model", content())
    for reader in (load, load_acting):
        with pytest.raises(UserError, match=complaint):
            reader(path)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.pt", QNetwork().state_dict()).read_bytes()
    path = tmp_path / "run.cleanrl_model"
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="is empty|is not a torch state dict"):
            load(path)


def test_exports_with_its_proof(tmp_path: Path) -> None:
    path = saved(tmp_path / "run.cleanrl_model", Actor().state_dict())
    rows = np.random.default_rng(0).normal(0, 2, (300, INPUTS)).astype(np.float32)
    np.savez(tmp_path / "observations.npz", observations=rows)
    said = export_policy(
        ExportConfig(path, tmp_path / "policy", calibration=tmp_path / "observations.npz")
    )
    assert said["bit_exact"] and max(said["max_abs_error"].values()) < 1e-5
