"""A teacher of pendulums that looks ahead: of several ways to go on, it takes the best.

Every few ticks each unit whose pole is not yet up is simulated by its own numbers, for about two
swings of its pole, in each of the ways to go on: by the law (`law.wanted_duty`) with each of
several gains, and by pushing to one side as hard as the motor can, for a while, and only then by
the law. Carts and arms have gains of their own. What is taken is the first part of the best way,
until the next choice (a rollout of the law, in the sense of Bertsekas, "Rollout, Policy Iteration,
and Distributed Reinforcement Learning", 2020). The law alone swings up more gently than most rigs
allow, because its gains suit all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsectl.plants.equations import Motion
from sparsectl.plants.plant import Parameters
from sparsectl.plants.rig import Rig
from sparsectl.plants.task import reward
from sparsectl.training.any_rig.law import (
    Array,
    Gains,
    State,
    Unit,
    effort_of,
    energy_of,
    forces,
    moved,
    predicted,
    unit_of,
    wanted_duty,
)
from sparsectl.training.any_rig.teacher import ARM_GAINS, CART_GAINS, ModelBased, motion_of

EVERY_TICKS: Final = 4
"""A way is chosen anew after as many ticks."""

AHEAD: Final = 12.0
"""For how long a way is simulated, in units of the time in which the pole's phase advances by 1."""

LEAST_STEP_S: Final = 0.016
"""A step of that simulation, of one duty, is a control period, and at least this."""

LIMIT_COST: Final = 5.0
"""What passing it costs, in seconds of the greatest reward."""

ENERGY_COST: Final = 0.3
"""What the pole's energy costs that is missing or too much in the end, likewise."""

CALM_COSINE, CALM_PHASE = 0.99, 0.3
"""Cosine of 8 degrees, and a speed of the pole as a share of its frequency: a pole that is caught,
nearer to upright and slower stays up."""


class Way(NamedTuple):
    """A way to go on."""

    manner: int
    """Which of the gains the law has."""
    duty: float
    """What is given first, unless the pole is caught."""
    phase: float
    """For how long, in units of the time in which the pole's phase advances by 1."""


class Choice(NamedTuple):
    """What the teacher of a family chooses from, and how it simulates that."""

    manners: tuple[Gains, ...]
    """Gains of the law."""
    ways: tuple[Way, ...]
    """The ways to go on; the first is the law as it is for all rigs."""
    largest_phase: float
    """By how much the pole's phase advances at most in a part of a step."""
    safe_limit: float
    """Share of the limit that the base must not pass: what drives may be a student."""


def _choice(*manners: Gains, largest_phase: float, safe_limit: float) -> Choice:
    """Return the choice of the law alone, with each of the gains, and of full duty to either side
    before the law with the first of them."""
    alone = (Way(manner, 0.0, 0.0) for manner in range(len(manners)))
    pushed = (Way(0, duty, phase) for duty in (-1.0, 1.0) for phase in (0.5, 1.2))
    return Choice(manners, (*alone, *pushed), largest_phase, safe_limit)


CARTS: Final = _choice(
    CART_GAINS,
    CART_GAINS._replace(stroke=0.8, most_pump=1.5, pace=3.0, edge=0.85),
    CART_GAINS._replace(stroke=0.35, most_pump=0.8),
    CART_GAINS._replace(stroke=0.7, edge=0.85, edge_brake=0.9),
    largest_phase=math.inf,
    safe_limit=0.92,
)
"""Gains as for all rigs, wide, narrow, and late to brake."""

ARMS: Final = _choice(
    ARM_GAINS,
    ARM_GAINS._replace(stroke=0.9, most_pump=2.5, pace=2.5, edge=0.85),
    ARM_GAINS._replace(stroke=0.35, most_pump=1.0),
    ARM_GAINS._replace(catch_rad=0.8, catch_duty=4.5),
    ARM_GAINS._replace(edge=0.6, last_edge=0.5),
    largest_phase=0.05,
    safe_limit=0.85,
)
"""Gains as for all rigs, wide, narrow, early to catch, and early to brake.

A pole that pulls at its base as hard as the motor does must be simulated in small parts of a step.
With whole ones short poles on strong motors had no more reward than by the law alone.
"""

_reward = njit(cache=True)(reward)


class Planning(ModelBased):
    """The teacher of many units; it remembers which way each of them goes.

    Args:
        rigs: one per unit, all of one family.
        parameters: those of the units.
    """

    def __init__(self, rigs: Sequence[Rig], parameters: Sequence[Parameters]) -> None:
        super().__init__(rigs, parameters)
        self._choice = ARMS if rigs[0].is_rotary else CARTS
        self._velocity_scale = np.array([rig.pole.velocity_scale for rig in rigs])
        self._ticks = 0
        self._ways = np.zeros(len(rigs), np.int64)

    def act(self, motion: Motion, last_duty: Array) -> Array:
        """Return duties [units] for the present motion; the last duty acts until the delay is
        over. To be called once in each tick."""
        since = self._ticks % EVERY_TICKS
        self._ticks += 1
        return planned(
            self.numbers,
            motion_of(motion),
            last_duty,
            self.period_s,
            self._velocity_scale,
            self._ways,
            since,
            self._choice,
        )


def teacher_of(
    rigs: Sequence[Rig], parameters: Sequence[Parameters], gains: Gains | None = None
) -> ModelBased:
    """Return the teacher of units of one family, which looks ahead, or with gains that are given,
    the law alone."""
    if gains is None:
        return Planning(rigs, parameters)
    return ModelBased(rigs, parameters, gains)


@njit(cache=True)
def planned(
    numbers: Array,
    motion: tuple[Array, Array, Array, Array],
    last_duty: Array,
    period_s: Array,
    velocity_scale: Array,
    ways: NDArray[np.int64],
    since: int,
    choice: Choice,
) -> Array:
    """Return the duties of many units, [units].

    Args:
        numbers: of the units, [units, NUMBERS].
        motion: present positions of bases and poles, and their velocities, [units] each.
        last_duty: that acts until the delay is over, [units].
        period_s: control periods, [units].
        velocity_scale: of the poles, which the reward knows, [units].
        ways: that the units go, [units]; is changed.
        since: ticks since they were chosen; 0: choose.
        choice: of ways.
    """
    duties = np.empty_like(last_duty)
    position, angle, velocity, pole_velocity = motion
    for i in range(len(duties)):
        unit = unit_of(numbers, i)
        state = (position[i], angle[i], velocity[i], pole_velocity[i])
        state = predicted(unit, state, last_duty[i])
        if since == 0:
            ways[i] = best_way(unit, state, period_s[i], velocity_scale[i], choice)
        way = choice.ways[ways[i]]
        duty, caught = wanted_duty(unit, choice.manners[way.manner], state, forces(unit, state))
        if not caught and since * period_s[i] * unit.rate < way.phase:
            duty = way.duty * unit.most
        duties[i] = duty
    return duties


@njit(cache=True)
def best_way(
    unit: Unit, state: State, period_s: float, velocity_scale: float, choice: Choice
) -> int:
    """Return the best way to go on from a state; the first one if the pole is up."""
    if _is_calm(unit, state):
        return 0
    best, most = 0, -np.inf
    for k in range(len(choice.ways)):
        worth = worth_of(unit, state, choice.ways[k], period_s, velocity_scale, choice)
        if worth > most:
            best, most = k, worth
    return best


@njit(cache=True)
def _is_calm(unit: Unit, state: State) -> bool:
    """Return whether a pole, if it is caught, stays up."""
    _, angle, _, pole_velocity = state
    return np.cos(angle) > CALM_COSINE and abs(pole_velocity) < CALM_PHASE * unit.rate


@njit(cache=True)
def worth_of(
    unit: Unit, state: State, way: Way, period_s: float, velocity_scale: float, choice: Choice
) -> float:
    """Return what a way is worth: rewards times seconds, less what the end costs."""
    gains = choice.manners[way.manner]
    step_s = max(period_s, LEAST_STEP_S)
    steps = int(AHEAD / (unit.rate * step_s))
    parts = max(1, math.ceil(unit.rate * step_s / choice.largest_phase))
    worth = 0.0
    for k in range(steps):
        of_state = forces(unit, state)
        duty, caught = wanted_duty(unit, gains, state, of_state)
        if not caught and k * step_s * unit.rate < way.phase:
            duty = way.duty * unit.most
        effort = effort_of(unit, duty)
        state = moved(unit, state, of_state, effort, step_s / parts)
        for _ in range(parts - 1):
            state = moved(unit, state, forces(unit, state), effort, step_s / parts)
        position, angle, _, pole_velocity = state
        if abs(position) > choice.safe_limit * unit.limit:
            return worth - LIMIT_COST
        earned = _reward(position, angle, pole_velocity, duty, unit.limit, velocity_scale)
        now: float = step_s * earned
        worth += now
        if caught and _is_calm(unit, state):
            return worth + now * (steps - 1 - k)
    missing: float = ENERGY_COST * abs(energy_of(unit, state))
    return worth - missing
