"""An episode while it runs: the one place where an environment is reset and stepped by a policy.

Whoever drives it chooses the actions, alone or for many episodes side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from sparsectl.training.nn.networks import Array


@dataclass(frozen=True)
class Step:
    """What one action led to."""

    observation: Array
    """Before the action, float32 [n]."""
    reward: float
    after: Array
    """The next observation, float32 [n]."""
    terminated: bool
    truncated: bool


class RunningEpisode:
    """One episode of an environment, which nobody else steps meanwhile.

    Attributes:
        observation: the present one, float32 [n].
        is_over: whether the environment terminated or truncated it.
        info: what the environment said with its last step.
    """

    def __init__(
        self,
        environment: gymnasium.Env[Any, Any],
        seed: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Reset the environment.

        Args:
            environment: whose last episode is over.
            seed: of its start; None: its generator goes on.
            options: for `reset`.
        """
        self._environment = environment
        first, self.info = environment.reset(seed=seed, options=options)
        self.observation = np.array(first, np.float32)
        self.is_over = False

    def step(self, action: Any) -> Step:
        """Execute an action."""
        before = self.observation
        after, reward, terminated, truncated, self.info = self._environment.step(action)
        self.observation = np.array(after, np.float32)
        self.is_over = bool(terminated or truncated)
        return Step(before, float(reward), self.observation, bool(terminated), bool(truncated))

    @property
    def success(self) -> bool | None:
        """What the environment says of it at its end; None: nothing."""
        said = self.info.get("is_success")
        return None if said is None else bool(said)
