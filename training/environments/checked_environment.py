"""Report an environment's errors in one line: what it raised, in which step, where."""

from __future__ import annotations

import math
import traceback
from pathlib import Path
from typing import Any, NoReturn

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError

LONGEST_EPISODE = 200_000
"""Steps after which an episode is considered endless: it would fill the memory."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest float32, since datasets and networks use that type."""
RAISED = (Exception, SystemExit)
"""Exceptions from an environment's code that are reported as its errors; `sys.exit` in it must not
end this program."""


class CheckedEnvironment(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The same environment; an exception of it becomes a `UserError`, and so does a NaN.

    Args:
        environment: has vectors as observations, or observations that are ignored.
        name: its name in messages.
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
            UserError: the environment raised, or returned an observation outside its space.
        """
        self._steps, self._seed = 0, seed
        try:
            given: Any = self.env.reset(seed=seed, options=options)
        except UserError:
            raise
        except RAISED as error:
            self._raise(error)
        observation, info = self._parts(given, "reset", "observation and info")
        self._check_observation(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step it.

        If its actions are Discrete, `action` may be the index as a policy gives it, an array of one
        float.

        Raises:
            UserError: the environment raised, its reward is not finite, the action is not valid, or
                the episode does not end.
        """
        self._steps += 1
        if not np.isfinite(action).all():
            raise UserError(f"the policy's action is {action} {self._where()}; it has diverged")
        if isinstance(self.env.action_space, gymnasium.spaces.Discrete):
            action = self._choice(action, self.env.action_space)
        try:
            given: Any = self.env.step(action)
        except UserError:
            raise
        except RAISED as error:
            self._raise(error)
        observation, reward, terminated, truncated, info = self._parts(
            given, "step", "observation, reward, terminated, truncated and info"
        )
        self._check_observation(observation)
        reward = self._checked_reward(reward)
        if self._steps > LONGEST_EPISODE:
            raise UserError(
                f"an episode of {self._name} has not ended after {LONGEST_EPISODE} steps; limit it "
                "with --env-kwargs max_episode_steps=1000"
            )
        return observation, reward, bool(terminated), bool(truncated), info

    def _choice(self, action: Any, space: gymnasium.spaces.Discrete[Any]) -> int:
        """Return the index of the choice as the environment takes it."""
        values = np.asarray(action).reshape(-1)
        choice = int(values[0]) if values.size == 1 else None
        last = space.start + space.n - 1
        if choice is None or choice != values[0] or not space.start <= choice <= last:
            raise UserError(
                f"the policy's action is {action} {self._where()}; {self._name} takes one of the "
                f"whole numbers {space.start} to {last}"
            )
        return choice

    def _parts(self, given: Any, call: str, wanted: str) -> Any:
        """What Gymnasium's API says that the call gives; of older ones it was less."""
        count = wanted.count(",") + 2
        if not isinstance(given, (tuple, list)) or len(given) != count:
            several = isinstance(given, (tuple, list))
            what = f"{len(given)} values" if several else f"a {type(given).__name__}"
            raise UserError(
                f"{self._name} gave {what} from {call}() {self._where()}; Gymnasium's has {count}: "
                f"{wanted}"
            )
        return given

    def _checked_reward(self, given: Any) -> float:
        try:
            reward = float(given)
        except (TypeError, ValueError):
            reward = math.nan
        if not abs(reward) <= LARGEST:  # nor is NaN
            said = " ".join(repr(given).split())[:80]
            raise UserError(
                f"{self._name} gave the reward {said} {self._where()}, which is not a finite "
                "number of float32; fix it there"
            )
        return reward

    def _check_observation(self, observation: Any) -> None:
        space = self.observation_space
        if not isinstance(space, gymnasium.spaces.Box):
            return
        known = isinstance(observation, np.ndarray) and observation.shape == space.shape
        if known and (observation.dtype.kind in "bui" or _is_float32(observation)):
            return
        try:
            values = np.asarray(observation, np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self._name} gave an observation {self._where()} that is not an array of numbers "
                f"({' '.join(str(error).split())[:100]}); fix it there"
            ) from error
        if values.shape != space.shape:
            raise UserError(
                f"{self._name} gave an observation of shape {values.shape} {self._where()}; its "
                f"observation_space says {space.shape}"
            )
        wrong = ~(np.abs(values) <= LARGEST)  # so is NaN
        if wrong.any():
            index = int(np.argwhere(wrong)[0][0])
            raise UserError(
                f"{self._name} gave {values[index]} as observation {index} {self._where()}; fix "
                "it there"
            )

    def _raise(self, error: BaseException) -> NoReturn:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if last.filename == __file__ else f" ({Path(last.filename).name}, line "
        place += f"{last.lineno})" if place else ""
        said = " ".join(str(error).split())[:200]
        when = self._where() if self._steps else "when it was reset"
        raise UserError(
            f"{self._name} raised {type(error).__name__}: {said}{place} {when}; fix it there"
        ) from error

    def _where(self) -> str:
        start = "" if self._seed is None else f" of the episode with seed {self._seed}"
        return f"in step {self._steps}{start}" if self._steps else f"at the start{start}"


def _is_float32(observation: NDArray[Any]) -> bool:
    """Return whether all values are finite float32 numbers."""
    return observation.dtype == np.float32 and bool(np.isfinite(observation).all())
