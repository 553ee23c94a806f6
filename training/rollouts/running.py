"""A running episode: the one place where an environment is reset and stepped by a policy.

The caller chooses the actions, for one episode or for many side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from sparsectl.policy.acting.networks import Array


@dataclass(frozen=True)
class Step:
    """The result of one action."""

    observation: Array
    """The observation before the action, float32 [n]."""
    reward: float
    after: Array
    """The next observation, float32 [n]."""
    terminated: bool
    truncated: bool


class RunningEpisode:
    """One episode of an environment, which nothing else may step meanwhile.

    Attributes:
        observation: the present observation, float32 [n].
        is_over: whether the environment terminated or truncated it.
        info: the `info` of the environment's last step.
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
            seed: determines its start; None: continue with the environment's generator.
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
        """Return `info["is_success"]` at its end; None if it is not given."""
        said = self.info.get("is_success")
        return None if said is None else bool(said)
