"""Run many episodes of `PendulumEnv` side by side, one unit each, in one process without MuJoCo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray

from sparsectl.plants.environment import Observation, chosen_start
from sparsectl.plants.observation import SIGNALS
from sparsectl.plants.plant import Parameters, draw_parameters, draw_start
from sparsectl.plants.rig import Rig
from sparsectl.plants.task import BALANCED_RAD, EPISODE_STEPS, SUCCESS_STEPS, reward
from sparsectl.plants.units import Units

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """The results of one step of every episode, arrays of shape [episodes, ...]. For an episode
    that was over before the step they mean nothing."""

    observations: Observation
    rewards: NDArray[np.float64]
    terminated: Flags
    truncated: Flags


class PendulumEpisodes:
    """Episodes that begin together; each runs as `PendulumEnv` would run it from the same seed.

    The draws are the same to the bit, the motion is the same to rounding. An episode that is over
    waits for the others.

    Args:
        rigs: one an episode, of as many stacked frames each.
        seeds: one an episode, as `PendulumEnv.reset` takes it.
        randomised: whether each is a unit drawn from its rig's ranges.
        start: one of `STARTS`, or "mixed"; of all, or one an episode.
        steps: after which an episode is cut.

    Attributes:
        parameters: of each episode's unit.
        duty: that each motor was given last.

    Raises:
        UserError: there is no such start.
    """

    def __init__(
        self,
        rigs: Sequence[Rig],
        seeds: Sequence[int | None],
        *,
        randomised: bool = True,
        start: str | Sequence[str] = "hanging",
        steps: int = EPISODE_STEPS,
    ) -> None:
        self.rigs = list(rigs)
        self._longest = steps
        parameters, states, jitter = [], [], []
        starts = [start] * len(self.rigs) if isinstance(start, str) else start
        for rig, seed, asked in zip(rigs, seeds, starts, strict=True):
            random, _ = np_random(seed)
            kind = chosen_start(asked, random)
            parameters.append(draw_parameters(rig, random) if randomised else Parameters())
            states.append(draw_start(rig, kind, random))
            jitter.append(random.uniform(-1.0, 1.0, steps))
        self.parameters: list[Parameters] = parameters
        self.duty: NDArray[np.float64] = np.zeros(len(self.rigs))
        self.units = Units(self.rigs, parameters, states)
        self._observer = Observers(self.rigs)
        period_s = np.array([rig.period_s for rig in rigs])[:, None]
        jitters = np.array([each.period_jitter for each in parameters])[:, None]
        delays = np.array([each.transport_delay_periods for each in parameters])[:, None]
        self._periods_s = period_s * (1.0 + jitters * np.array(jitter))
        self._delays_s = np.minimum(period_s * delays, self._periods_s)
        self._limit = np.array([rig.base.limit for rig in rigs])
        self._velocity_scale = np.array([rig.pole.velocity_scale for rig in rigs])
        self._steps = 0
        self._balanced_steps = np.zeros(len(self.rigs), np.int64)
        self.is_over: Flags = np.zeros(len(self.rigs), np.bool_)
        self.success: Flags = np.zeros(len(self.rigs), np.bool_)
        """[rigs]: True if the episode is over and was a success."""
        self.observations: Observation = self._observer.reset(*self.units.counts())

    def step(self, duties: NDArray[np.float64]) -> Steps:
        """Let one control period pass in every episode that is not over.

        Args:
            duties: [episodes], clipped to -1 and 1.
        """
        duties = self.duty = np.minimum(np.maximum(duties, -1.0), 1.0)
        running = ~self.is_over
        delay_s = np.where(running, self._delays_s[:, self._steps], 0.0)
        period_s = np.where(running, self._periods_s[:, self._steps], 0.0)
        self.units.advance(delay_s, period_s - delay_s, duties)
        self._steps += 1
        motion, angle_rad = self.units.motion, self.units.angle_rad()
        rewards = reward(
            motion.position,
            angle_rad,
            motion.pole_velocity,
            duties,
            self._limit,
            self._velocity_scale,
        )
        self._balanced_steps = np.where(
            np.abs(angle_rad) < BALANCED_RAD, self._balanced_steps + 1, 0
        )
        terminated = running & (np.abs(motion.position) >= self._limit)
        truncated = running & (self._steps >= self._longest)
        success = ~terminated & (self._balanced_steps >= SUCCESS_STEPS)
        ends = terminated | truncated
        self.success = np.where(ends, success, self.success)
        self.is_over = self.is_over | ends
        self.observations = self._observer.observe(*self.units.counts())
        return Steps(self.observations, rewards, terminated, truncated)


class Observers:
    """An `Observer` for many rigs, all with the same number of stacked frames."""

    def __init__(self, rigs: Sequence[Rig]) -> None:
        self._frames = rigs[0].frames
        assert all(rig.frames == self._frames for rig in rigs)
        self._base_unit = np.array([rig.base.unit_per_count for rig in rigs])
        self._pole_rad = np.array([rig.pole_rad_per_count for rig in rigs])
        self._period_s = np.array([rig.period_s for rig in rigs])

    def reset(self, base: NDArray[np.int64], pole: NDArray[np.int64]) -> Observation:
        """Begin with the rigs at rest at these counts, [rigs]; return observations [rigs, frames *
        5]."""
        self._last = base, pole
        frame = self._frame(base, pole)
        self._history = np.repeat(frame[:, None, :], self._frames, axis=1)
        return self._history.reshape(len(base), -1)

    def observe(self, base: NDArray[np.int64], pole: NDArray[np.int64]) -> Observation:
        """Add the counts of the next control period; return observations [rigs, frames * 5]."""
        frame = self._frame(base, pole)
        self._history = np.concatenate([self._history[:, 1:], frame[:, None, :]], axis=1)
        self._last = base, pole
        return self._history.reshape(len(base), -1)

    def _frame(self, base: NDArray[np.int64], pole: NDArray[np.int64]) -> Observation:
        angle = np.pi + pole * self._pole_rad  # count 0 is hanging
        frame = np.empty((len(base), SIGNALS), np.float32)
        frame[:, 0] = base * self._base_unit
        frame[:, 1] = (base - self._last[0]) * self._base_unit / self._period_s
        frame[:, 2] = np.sin(angle)
        frame[:, 3] = np.cos(angle)
        frame[:, 4] = (pole - self._last[1]) * self._pole_rad / self._period_s
        return frame
