"""On how many rigs that were never drawn before a policy swings up and balances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsectl.plants.rig import Rig
from sparsectl.plants.side_by_side import PendulumEpisodes
from sparsectl.plants.task import BALANCED_RAD
from sparsectl.training.any_rig.acting import Inputs
from sparsectl.training.any_rig.rollout import Actor
from sparsectl.training.any_rig.teacher import ModelBased

SWING_UP_S = 15.0
BALANCE_S = 30.0
RETURN_S = 10.0
"""Over which the mean reward is taken, from the start."""


@dataclass(frozen=True)
class Outcomes:
    """Of trials from hanging at rest, arrays of shape [rigs]."""

    balanced: NDArray[np.bool_]
    """Swung up within 15 s, and within 0.2 rad of upright through all that came after."""
    swung_up_s: NDArray[np.float64]
    """When the pole came within 0.2 rad of upright, never to leave it again; NaN: it left."""
    met_limit: NDArray[np.bool_]
    """Whether the base ran to its limit, where a board stops the motor."""
    mean_reward: NDArray[np.float64]
    """Of the first 10 s, 0 to 1; nothing after the limit."""


def trials(
    rigs: Sequence[Rig],
    seeds: Sequence[int],
    actor: Actor | None,
    balance_s: float = BALANCE_S,
) -> Outcomes:
    """Run a trial on each rig.

    Args:
        rigs: all different, or not.
        seeds: of the starts and the units, one a rig.
        actor: who drives; None: the teacher that sees the rig's numbers.
        balance_s: for how long the pole must stay up after the 15 s.
    """
    period_s = np.array([rig.period_s for rig in rigs])
    whole = np.ceil((SWING_UP_S + balance_s) / period_s).astype(np.int64)
    steps = math.ceil((SWING_UP_S + balance_s) / period_s.min())
    episodes = PendulumEpisodes(rigs, list(seeds), steps=steps + 1)
    teacher = ModelBased(rigs, episodes.parameters) if actor is None else None
    inputs_of, count = Inputs(rigs), len(rigs)
    state = None if actor is None else actor.reset(count)
    since, rewards = np.full(count, np.nan), np.zeros(count)
    met_limit = np.zeros(count, np.bool_)
    for tick in range(steps):
        if teacher is not None:
            duty = teacher.act(episodes.units.motion, episodes.duty)
        else:
            assert actor is not None and state is not None
            given, state = actor.step(inputs_of.of(episodes.observations), state)
            duty = given.astype(np.float64)
        stepped = episodes.step(duty)
        met_limit |= stepped.terminated & (tick < whole)
        rewards += stepped.rewards * ~episodes.is_over * (tick * period_s < RETURN_S)
        upright = (np.abs(episodes.units.angle_rad()) < BALANCED_RAD) & ~episodes.is_over
        began = np.where(np.isnan(since), (tick + 1) * period_s, since)
        running = tick < whole
        since = np.where(running, np.where(upright, began, np.nan), since)
    swung_up_s = np.where(met_limit, np.nan, since)
    balanced = ~np.isnan(swung_up_s) & (swung_up_s <= SWING_UP_S)
    return Outcomes(balanced, swung_up_s, met_limit, rewards * period_s / RETURN_S)
