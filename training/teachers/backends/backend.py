"""The interface between `sparsectl teach` and a library of reinforcement learning."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sparsectl.training.teachers.teacher_file import Weights


@dataclass(frozen=True)
class Backend:
    """A library with classes SAC and TD3 as Stable-Baselines3 has them; that one has DQN and PPO.

    Attributes:
        module: the name to import.
        weights: model → its deterministic actor, layer by layer.
        state: model → everything that its next gradient step depends on, except the replay buffer,
            by name.
        restore: loads such a state into a fresh model of the same settings.
        device: name of a device → a context in which models are made and trained on it; raises
            `UserError` if there is none of that name.
    """

    module: str
    weights: Callable[[Any], Weights]
    state: Callable[[Any], dict[str, Tensor]]
    restore: Callable[[Any, dict[str, Tensor]], None]
    device: Callable[[str], AbstractContextManager[Any]]
