"""An environment whose mistakes are told in one line: what it raised, in which step, where."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, NoReturn

import gymnasium
import numpy as np

from sparsectl.common.errors import UserError

LONGEST_EPISODE = 200_000
"""Steps after which an episode counts as one that never ends: it would fill the memory."""


class CheckedEnvironment(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The same environment; what it raises becomes a `UserError`, and so does a NaN of it.

    Args:
        environment: with observations that are vectors, or none that are looked at.
        name: as messages name it.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any], name: str) -> None:
        super().__init__(environment)
        self._name = name
        self._steps = 0
        self._seed: int | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset it.

        Raises:
            UserError: it raised, or its observation is none of its space.
        """
        self._steps, self._seed = 0, seed
        try:
            observation, info = self.env.reset(seed=seed, options=options)
        except UserError:
            raise
        except Exception as error:
            self._raise(error, "reset")
        self._check_observation(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step it.

        Raises:
            UserError: it raised, what it gave is no number, the action is none, or the episode
                does not end.
        """
        self._steps += 1
        if not np.isfinite(action).all():
            raise UserError(f"the policy's action is {action} {self._where()}; it has diverged")
        try:
            observation, given, terminated, truncated, info = self.env.step(action)
            reward = float(given)
        except UserError:
            raise
        except Exception as error:
            self._raise(error, "step")
        self._check_observation(observation)
        if not np.isfinite(reward):
            raise UserError(f"{self._name} gave the reward {reward} {self._where()}; mend it there")
        if self._steps > LONGEST_EPISODE:
            raise UserError(
                f"an episode of {self._name} has not ended after {LONGEST_EPISODE} steps; limit it "
                "with --env-kwargs max_episode_steps=1000"
            )
        return observation, reward, bool(terminated), bool(truncated), info

    def _check_observation(self, observation: Any) -> None:
        space = self.observation_space
        if not isinstance(space, gymnasium.spaces.Box):
            return
        values = np.asarray(observation)
        if values.shape != space.shape:
            raise UserError(
                f"{self._name} gave an observation of shape {values.shape} {self._where()}; its "
                f"observation_space says {space.shape}"
            )
        if not np.isfinite(values).all():
            index = int(np.argwhere(~np.isfinite(values))[0][0])
            raise UserError(
                f"{self._name} gave {values[index]} as observation {index} {self._where()}; mend "
                "it there"
            )

    def _raise(self, error: Exception, call: str) -> NoReturn:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{self._name} raised {type(error).__name__}: {said} ({Path(last.filename).name}, line "
            f"{last.lineno}) {self._where() if call == 'step' else 'when it was reset'}; mend it "
            "there"
        ) from error

    def _where(self) -> str:
        start = "" if self._seed is None else f" of the episode with seed {self._seed}"
        return f"in step {self._steps}{start}" if self._steps else f"at the start{start}"
