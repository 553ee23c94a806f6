"""Run episodes of fresh rigs, driven by a student or the teacher, and label them by the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sparsectl.plants.rig import Rig
from sparsectl.plants.side_by_side import PendulumEpisodes
from sparsectl.plants.task import BALANCED_RAD
from sparsectl.training.any_rig.acting import (
    CONSTANTS,
    SIGNALS,
    Array,
    Inputs,
)
from sparsectl.training.any_rig.law import Gains
from sparsectl.training.any_rig.planning import teacher_of


class Actor(Protocol):
    """Drives many rigs tick by tick."""

    def reset(self, rigs: int) -> Array:
        """Return the state at the beginning, [rigs, ...]."""

    def step(self, inputs: Array, state: Array) -> tuple[Array, Array]:
        """Return duties [rigs] and the next state."""


@dataclass(frozen=True)
class Driven:
    """The record of driven rigs, and what the teacher would have done, [ticks, rigs, ...]."""

    inputs: Array
    labels: Array
    running: NDArray[np.bool_]
    """[ticks, rigs]: True if the rig had not yet met its limit before the tick."""
    rewards: Array
    balanced: NDArray[np.bool_]
    """[ticks, rigs]: True if the pole was within 0.2 rad of upright after the tick."""
    periods_s: NDArray[np.float64]
    """[rigs]: the control periods, in s."""


def drive(
    rigs: Sequence[Rig],
    seeds: Sequence[int],
    actor: Actor | None,
    *,
    steps: int,
    start: str | Sequence[str] = "hanging",
    teacher_share: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
    gains: Gains | None = None,
    labelled: bool = True,
) -> Driven:
    """Run one episode of each rig.

    Args:
        rigs: one per episode.
        seeds: seeds of the episodes.
        actor: drives; None: the teacher does.
        steps: ticks of each episode.
        start: how they begin.
        teacher_share: share of the rigs that the teacher drives in the actor's place, 0 to 1.
        noise: greatest standard deviation of the duty's noise where the teacher drives in the
            actor's place. Each of these rigs has a standard deviation of its own up to this, so
            that they leave the teacher's path.
        seed: seed of the noise.
        gains: of the teacher, which then does not look ahead; None: it is the family's.
        labelled: False: the teacher is not asked where it does not drive, and labels are 0.
    """
    episodes = PendulumEpisodes(rigs, list(seeds), start=start, steps=steps)
    asked = labelled or actor is None or teacher_share > 0.0
    teacher = teacher_of(rigs, episodes.parameters, gains) if asked else None
    inputs_of, count = Inputs(rigs), len(rigs)
    random = np.random.default_rng(seed)
    taught = np.arange(count) < round(teacher_share * count)
    deviation = noise * random.uniform(0.0, 1.0, count) * taught
    strays = np.zeros((steps, count), np.float32)
    if noise:
        strays += deviation * random.standard_normal((steps, count))
    inputs = np.zeros((steps, count, SIGNALS + CONSTANTS), np.float32)
    labels, rewards = np.zeros((2, steps, count), np.float32)
    running, balanced = np.zeros((2, steps, count), np.bool_)
    state = None if actor is None else actor.reset(count)
    for tick in range(steps):
        running[tick] = ~episodes.is_over
        if not running[tick].any():
            break
        inputs[tick] = inputs_of.of(episodes.observations)
        duty = np.zeros(count)
        if teacher is not None:
            duty = labels[tick] = teacher.act(episodes.units.motion, episodes.duty)
        if actor is not None:
            assert state is not None
            given, state = actor.step(inputs[tick], state)
            duty = np.where(taught, duty, given)
        stepped = episodes.step(duty + strays[tick].astype(np.float64))
        rewards[tick] = stepped.rewards * running[tick]
        upright = np.abs(episodes.units.angle_rad()) < BALANCED_RAD
        balanced[tick] = upright & running[tick] & ~stepped.terminated
    periods = np.array([rig.period_s for rig in rigs])
    return Driven(inputs, labels, running, rewards, balanced, periods)
