"""The settings of each subcommand of training; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class CollectConfig:
    """Roll a teacher out into a dataset."""

    teacher: Path
    """Stable-Baselines3 zip, ONNX, student.safetensors, or a policy's folder."""

    env: str
    """Gymnasium id of the environment."""

    out: Path = Path("runs/collect/dataset.npz")
    """The dataset: an .npz, or minari:NAMESPACE/NAME-v0 for Minari's local folder."""

    transitions: int = 100_000
    """How many transitions to record."""

    noise: float = 0.1
    """Standard deviation of the action noise, as a fraction of half the action's range."""

    noise_fraction: float = 0.75
    """The share of episodes that have the noise; the labels never have it."""

    seed: int = 0
    """Episode k depends on (seed, k) alone."""

    workers: int = 0
    """Worker processes; 0: one a core."""

    activation: str | None = None
    """Hidden activation of a Stable-Baselines3 zip that does not say its own."""


@dataclass(frozen=True)
class TeachConfig:
    """Train a teacher with Stable-Baselines3."""

    env: str = "sparsectl/sensorsini_cartpole-v0"
    """Gymnasium environment with continuous actions and flat observations."""
    algo: Literal["sac", "td3"] = "sac"
    """Reinforcement-learning algorithm."""
    backend: Literal["sb3", "sbx"] = "sb3"
    """sb3: Stable-Baselines3 (torch). sbx: its JAX sibling, 2.5 times faster (extra `jax`)."""
    steps: int = 300_000
    """Environment steps."""
    environments: int = 16
    """Environments stepped side by side."""
    updates_per_step: float = 0.5
    """Gradient updates for each environment step."""
    learning_rate: float = 3e-4
    """Adam's, of actor and critics; falls linearly to a tenth over the training."""
    discount: float = 0.99
    """Discount of future reward, a control period."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critics."""
    seed: int = 0
    """Seed of networks, environments and sampling."""
    evaluate_every: int = 20_000
    """Environment steps between evaluations; the best teacher so far is kept."""
    evaluate_episodes: int = 30
    """Episodes of one evaluation."""
    out: Path = Path("runs/teach")
    """Folder for teacher.onnx, learning_curve.csv and summary.json."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a policy's return with a 95 % bootstrap interval."""

    policy: Path
    """SB3 zip, ONNX, student.safetensors, or a folder that `export` wrote."""
    env: str | None = None
    """Gymnasium environment; by default the one the policy was made for."""
    episodes: int = 100
    """Episodes, each a freshly drawn start (and unit of the rig)."""
    seed: int = 10_000
    """Seed of the first episode; the next ones count up from it."""
    trace: Path | None = None
    """Also save angle, position and duty of the first episode here (.npz)."""
