"""Swing-up and balance of a rig as a Gymnasium environment."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.plants.observation import Observer
from sparsectl.plants.plant import Plant, StartKind
from sparsectl.plants.rig import load_rig
from sparsectl.plants.task import BALANCED_RAD, EPISODE_STEPS, SUCCESS_STEPS, reward

STARTS: tuple[StartKind, ...] = ("hanging", "upright", "uniform")

Observation = NDArray[np.float32]


Action = NDArray[np.float32] | int | np.integer[Any]


def chosen_start(start: str, random: np.random.Generator) -> StartKind:
    """Return the kind of start with this name; "mixed" draws one at random.

    Raises:
        UserError: there is no such start.
    """
    if start == "anywhere":
        warn('the start "anywhere" is now "uniform"; the former name will be removed')
        start = "uniform"
    if start == "mixed":
        return STARTS[random.integers(len(STARTS))]
    for known in STARTS:
        if start == known:
            return known
    raise UserError(f"start is {start!r}; use one of {', '.join(STARTS)}, mixed")


class PendulumEnv(gymnasium.Env[Observation, Action]):
    """A pendulum on a motor-driven base: swing it up and keep it there.

    Observation: `rig.frames` frames of 5 signals, oldest first, from encoder counts (see
    `plants.observation`), in SI units. Action: the motor's duty, shape [1], -1 to 1; of a rig with
    `[motor] duties` the index of one of them (Discrete). A command takes effect a transport delay
    after the sample it answers, and the period jitters.

    The reward of a step is within 0 and 1: the product of how upright, centred, calm and sparing of
    the motor the rig is, as in the swing-up tasks of dm_control. An episode ends when the base
    reaches its limit, and is cut after 500 steps; `info["is_success"]` then says whether the pole
    was balanced (within 0.2 rad) through the last 100 steps.

    `metadata["starts"]` names the starts that `reset` knows as its option "start".
    """

    metadata: dict[str, Any] = {"render_modes": [], "starts": STARTS}
    max_episode_steps = EPISODE_STEPS

    def __init__(
        self,
        rig: str = "sensorsini_cartpole",
        *,
        randomised: bool = True,
        start: StartKind | Literal["mixed"] = "hanging",
    ) -> None:
        self.rig = load_rig(rig)
        self.signals = self.rig.signals()
        self.dt = self.rig.period_s
        self.randomised = randomised
        self.start = start
        self.plant = Plant(self.rig)
        self.observer = Observer(self.rig)
        size = self.rig.frames * len(self.signals["observation"])
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        duties = self.rig.motor.duties
        self.action_space: gymnasium.Space[Any] = (
            gymnasium.spaces.Discrete(len(duties))
            if duties
            else gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a start and, when randomised, a new unit of the rig.

        Args:
            seed: of everything that is drawn from now on.
            options: {"start": one of `STARTS`, or "mixed"} for this episode in place of the
                environment's own.

        Raises:
            UserError: there is no such start.
        """
        super().reset(seed=seed)
        start = (options or {}).get("start", self.start)
        kind = chosen_start(start, self.np_random)
        self.plant.reset(self.np_random, randomised=self.randomised, start=kind)
        self._steps = 0
        self._balanced_steps = 0
        return self.observer.reset(self.plant.counts()), {}

    def duty_of(self, action: Action) -> float:
        """Return the duty that an action asks of the motor, -1 to 1.

        Raises:
            UserError: it is the index of none of the rig's duties.
        """
        duties, value = self.rig.motor.duties, float(np.asarray(action).reshape(-1)[0])
        if not duties:
            return min(max(value, -1.0), 1.0)
        if value not in range(len(duties)):
            raise UserError(f"action is {action}; rig {self.rig.name} has duties {list(duties)}")
        return duties[int(value)]

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Let one control period pass; the duty takes effect after the transport delay."""
        duty = self.duty_of(action)
        period_s = self.rig.period_s
        jitter = self.plant.parameters.period_jitter
        this_period_s = period_s * (1.0 + jitter * self.np_random.uniform(-1.0, 1.0))
        delay_s = min(period_s * self.plant.parameters.transport_delay_periods, this_period_s)
        self.plant.advance(delay_s)
        self.plant.set_duty(duty)
        self.plant.advance(this_period_s - delay_s)
        observation = self.observer.observe(self.plant.counts())
        return observation, self._reward(duty), *self._ending()

    def _reward(self, duty: float) -> float:
        position, _, angle_rad, pole_velocity = self.plant.state()
        base, pole = self.rig.base, self.rig.pole
        return float(
            reward(position, angle_rad, pole_velocity, duty, base.limit, pole.velocity_scale)
        )

    def _ending(self) -> tuple[bool, bool, dict[str, Any]]:
        position, _, angle_rad, _ = self.plant.state()
        self._steps += 1
        self._balanced_steps = self._balanced_steps + 1 if abs(angle_rad) < BALANCED_RAD else 0
        terminated = abs(position) >= self.rig.base.limit
        truncated = self._steps >= EPISODE_STEPS
        success = not terminated and self._balanced_steps >= SUCCESS_STEPS
        return terminated, truncated, {"is_success": success}
