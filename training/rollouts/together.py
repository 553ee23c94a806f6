"""Run episodes side by side, whatever steps them: environments one by one, or a rig's units at
once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array
from sparsectl.training.environments.environments import make_environment, rig_of
from sparsectl.training.rollouts.running import RunningEpisode
from sparsectl.training.rollouts.seeds import Series, episode_seed

Flags = NDArray[np.bool_]

SIDE_BY_SIDE = 256
"""Most episodes at once; more would only fill the memory."""


@dataclass(frozen=True)
class Steps:
    """The results of one action of each episode, [episodes, ...]; those of an episode that was
    already over mean nothing."""

    observations: Array
    """Observations before the actions."""
    rewards: NDArray[np.float64]
    after: Array
    terminated: Flags
    truncated: Flags


class Together(Protocol):
    """Episodes that began together and are stepped together; one that is over waits.

    Attributes:
        observations: the present ones, float32 [episodes, n].
        is_over: [episodes].
    """

    @property
    def observations(self) -> Array: ...

    @property
    def is_over(self) -> Flags: ...

    @property
    def successes(self) -> list[bool | None]:
        """Return what the environment says of each episode's success at its end; None: nothing."""

    def step(self, actions: Array) -> Steps:
        """Execute the actions [episodes, m] of the episodes that are not over."""


class OneByOne:
    """Steps an environment for each episode; nobody else may step them meanwhile."""

    def __init__(
        self,
        environments: Sequence[gymnasium.Env[Any, Any]],
        episodes: Sequence[RunningEpisode],
        close: bool = False,
    ) -> None:
        """Args:
        environments: one an episode.
        episodes: of these environments, just begun.
        close: whether to close an environment with its episode.
        """
        self._environments, self._episodes, self._close = environments, episodes, close
        self.observations = np.stack([episode.observation for episode in episodes])
        self.is_over: Flags = np.zeros(len(episodes), np.bool_)

    @property
    def successes(self) -> list[bool | None]:
        return [episode.success for episode in self._episodes]

    def step(self, actions: Array) -> Steps:
        number = len(self._episodes)
        steps = Steps(
            self.observations,
            np.zeros(number),
            self.observations.copy(),
            np.zeros(number, np.bool_),
            np.zeros(number, np.bool_),
        )
        for i in np.flatnonzero(~self.is_over).tolist():
            step = self._episodes[i].step(actions[i])
            steps.after[i], steps.rewards[i] = step.after, step.reward
            steps.terminated[i], steps.truncated[i] = step.terminated, step.truncated
            if self._close and self._episodes[i].is_over:
                self._environments[i].close()
        self.observations = steps.after
        self.is_over = self.is_over | steps.terminated | steps.truncated
        return steps


class OfRig:
    """Steps the episodes of one rig's units at once, with the same results as its environment."""

    def __init__(
        self, options: dict[str, Any], seeds: Sequence[int], start: str | None = None
    ) -> None:
        """Args:
        options: of `PendulumEnv`.
        seeds: one an episode.
        start: where they begin, in place of what the options say.

        Raises:
            UserError: the rig does not load, or there is no such start.
        """
        from sparsectl.plants.rig import load_rig
        from sparsectl.plants.side_by_side import PendulumEpisodes

        self._rig = load_rig(options["rig"])
        self._seeds = list(seeds)
        self._episodes = PendulumEpisodes(
            [self._rig] * len(self._seeds),
            self._seeds,
            randomised=options.get("randomised", True),
            start=start or options.get("start", "hanging"),
        )
        self._steps = 0

    @property
    def observations(self) -> Array:
        return self._episodes.observations

    @property
    def is_over(self) -> Flags:
        return self._episodes.is_over

    @property
    def successes(self) -> list[bool | None]:
        return [bool(value) for value in self._episodes.success]

    def step(self, actions: Array) -> Steps:
        """Execute the actions.

        Raises:
            UserError: one is no finite number, or the index of none of the rig's duties.
        """
        self._steps += 1
        before = self.observations
        asked = np.asarray(actions, np.float64)[:, 0]
        running = ~self.is_over
        self._check(asked, running)
        duties = np.where(running, asked, 0.0)
        if self._rig.motor.duties:
            duties = np.array(self._rig.motor.duties)[duties.astype(np.int64)]
        steps = self._episodes.step(duties)
        return Steps(before, steps.rewards, steps.observations, steps.terminated, steps.truncated)

    def _check(self, asked: NDArray[np.float64], running: Flags) -> None:
        count = len(self._rig.motor.duties)
        wrong = running & ~np.isfinite(asked)
        if wrong.any():
            where = self._where(wrong)
            raise UserError(f"the policy's action is {asked[wrong][:1]} {where}; it has diverged")
        if not count:
            return
        wrong = running & ~np.isin(asked, np.arange(count))
        if wrong.any():
            raise UserError(
                f"the policy's action is {asked[wrong][:1]} {self._where(wrong)}; rig "
                f"{self._rig.name} takes one of the whole numbers 0 to {count - 1}"
            )

    def _where(self, wrong: Flags) -> str:
        seed = self._seeds[int(np.flatnonzero(wrong)[0])]
        return f"in step {self._steps} of the episode with seed {seed}"


def together(
    environment: str, options: dict[str, Any] | None, series: Series, numbers: Sequence[int]
) -> Together:
    """Begin these episodes of a series in an environment.

    Args:
        environment: its name.
        options: further keyword arguments.
        series: the purpose.
        numbers: of the episodes, at most `SIDE_BY_SIDE`.

    Raises:
        UserError: there is no such environment or episode, or it refuses the options.
    """
    of_rig = rig_of(environment, options)
    if of_rig is not None:
        return OfRig(of_rig, [episode_seed(series, number) for number in numbers])
    made = [make_environment(environment, options) for _ in numbers]
    episodes = [
        RunningEpisode(one, episode_seed(series, number))
        for one, number in zip(made, numbers, strict=True)
    ]
    return OneByOne(made, episodes, close=True)
