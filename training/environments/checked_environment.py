"""Report an environment's errors in one line: what it raised, in which step, where."""

from __future__ import annotations

import math
import traceback
from pathlib import Path
from typing import Any, NoReturn

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn

LONGEST_EPISODE = 200_000
"""Steps after which an episode is considered endless: it would fill the memory."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest float32, since datasets and networks use that type."""
RAISED = (Exception, SystemExit)
"""Exceptions from an environment's code that are reported as its errors; `sys.exit` in it must not
end this program."""
SUCCESS = "is_success"
"""Key in the `info` of an episode's last step that says whether it succeeded."""


def own_attribute(owner: Any, name: str) -> Any:
    """Return an attribute of a class of the user's; None if it has none, or raises instead of
    giving it."""
    try:
        return getattr(owner, name, None)
    except RAISED:
        return None


class CheckedEnvironment(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The same environment; an exception of it becomes a `UserError`, and so does a NaN.

    It gets each action in the type of its space and as a copy, so that one that computes in place
    changes nothing here.

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
        space = self.env.action_space
        if isinstance(space, Discrete):
            action = self._choice(action, space)
        elif isinstance(space, Box):
            action = _in_its_type(action, space)
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
        terminated = self._flag(terminated, "terminated")
        truncated = self._flag(truncated, "truncated")
        if info.get(SUCCESS) is not None:
            info = {**info, SUCCESS: self._flag(info[SUCCESS], f"info[{SUCCESS!r}]")}
        if self._steps > LONGEST_EPISODE:
            raise UserError(
                f"an episode of {self._name} has not ended after {LONGEST_EPISODE} steps; limit it "
                "with --env-kwargs max_episode_steps=1000"
            )
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Close it; if it raises, warn of that: what it has given is not affected."""
        try:
            self.env.close()
        except RAISED as error:
            said = " ".join(str(error).split())[:200]
            warn(f"{self._name} raised {type(error).__name__} when it was closed: {said}")

    def _choice(self, action: Any, space: Discrete[Any]) -> Any:
        """Return the index of the choice in the space's type, as its samples have it."""
        values = np.asarray(action).reshape(-1)
        choice = int(values[0]) if values.size == 1 else None
        last = space.start + space.n - 1
        if choice is None or choice != values[0] or not space.start <= choice <= last:
            raise UserError(
                f"the policy's action is {action} {self._where()}; {self._name} takes one of the "
                f"whole numbers {space.start} to {last}"
            )
        return space.dtype.type(choice)

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
        if given[-1] is None:
            return (*given[:-1], {})
        if not isinstance(given[-1], dict):
            raise UserError(
                f"{self._name} gave {_said(given[-1])} as info {self._where()}; Gymnasium's is a "
                "dict"
            )
        return given

    def _flag(self, given: Any, name: str) -> bool:
        """Return a truth value of the environment's; text such as 'False' is none."""
        if isinstance(given, (bool, np.bool_)):
            return bool(given)
        value = np.asarray(given)
        if value.size == 1 and value.dtype.kind in "biuf" and value.item() in (0, 1):
            return bool(value.item())
        raise UserError(
            f"{self._name} gave {_said(given)} as {name} {self._where()}; it is True or False"
        )

    def _checked_reward(self, given: Any) -> float:
        if isinstance(given, np.ndarray) and given.size == 1:
            given = given.item()
        try:
            reward = float(given)
        except (TypeError, ValueError, OverflowError):
            reward = math.nan
        if not abs(reward) <= LARGEST:  # nor is NaN
            raise UserError(
                f"{self._name} gave the reward {_said(given)} {self._where()}, which is not a "
                "finite number of float32; fix it there"
            )
        return reward

    def _check_observation(self, observation: Any) -> None:
        space = self.observation_space
        if isinstance(space, Box):
            self._check_array(observation, space, "an observation", "observation")
        elif isinstance(space, Dict):
            for key, part in space.spaces.items():
                if isinstance(part, Box):
                    self._check_part(observation, key, part)

    def _check_part(self, observation: Any, key: str, space: Box) -> None:
        """Check a part of a Dict; one of another shape might only move the numbers behind it."""
        if not isinstance(observation, dict) or key not in observation:
            what = f"one without {key!r}" if isinstance(observation, dict) else _said(observation)
            raise UserError(
                f"{self._name} gave {what} as an observation {self._where()}; its "
                f"observation_space is a Dict with {key!r}"
            )
        self._check_array(observation[key], space, f"an observation {key!r}", f"{key!r}")

    def _check_array(self, observation: Any, space: Box, what: str, name: str) -> None:
        known = isinstance(observation, np.ndarray) and observation.shape == space.shape
        if known and (observation.dtype.kind in "bui" or _is_float32(observation)):
            return
        try:
            values = np.asarray(observation, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{self._name} gave {what} {self._where()} that is not an array of numbers "
                f"({' '.join(str(error).split())[:100]}); fix it there"
            ) from error
        if values.shape != space.shape:
            raise UserError(
                f"{self._name} gave {what} of shape {values.shape} {self._where()}; its "
                f"observation_space says {space.shape}"
            )
        wrong = ~(np.abs(values) <= LARGEST)  # so is NaN
        if wrong.any():
            index = np.argwhere(wrong)[0].tolist()
            place = " ".join([name, *map(str, index)])
            raise UserError(
                f"{self._name} gave {values[tuple(index)]} as {place} {self._where()}; fix it there"
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


def _in_its_type(action: Any, space: Box) -> NDArray[Any]:
    """Return a copy of the action in the space's type.

    A bound of float64 rounded to float32 may lie beyond the bound, and an environment that checks
    its actions would refuse it: such a value is the bound itself.
    """
    values = np.array(action, space.dtype)
    if values.dtype != np.float64 or values.shape != space.shape:
        return values
    for bound in (space.low, space.high):
        with np.errstate(over="ignore"):  # of a bound beyond float32, which no action reaches
            values = np.where(values == bound.astype(np.float32), bound, values)
    return values


def _said(given: Any) -> str:
    """Format what an environment gave in a few words."""
    return " ".join(repr(given).split())[:80]


def _is_float32(observation: NDArray[Any]) -> bool:
    """Return whether all values are finite float32 numbers."""
    return observation.dtype == np.float32 and bool(np.isfinite(observation).all())
