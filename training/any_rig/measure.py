"""Measure on how many rigs that were never drawn before a policy swings up and balances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsectl.plants.rig import Rig
from sparsectl.training.any_rig.law import Gains
from sparsectl.training.any_rig.rollout import Actor, drive

SWING_UP_S = 15.0
BALANCE_S = 30.0
RETURN_S = 10.0
"""Time over which the mean reward is taken, from the start, in s."""


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of trials from hanging at rest."""

    balanced: NDArray[np.bool_]
    """[rigs]: True if the pole was swung up within 15 s and then stayed within 0.2 rad of
    upright."""
    swung_up_s: NDArray[np.float64]
    """[rigs]: time at which the pole came within 0.2 rad of upright, never to leave it again; NaN:
    it left."""
    met_limit: NDArray[np.bool_]
    """[rigs]: True if the base ran to its limit, where a board stops the motor."""
    mean_reward: NDArray[np.float64]
    """[rigs]: mean reward of the first 10 s, 0 to 1; there is none after the limit."""


def trials(
    rigs: Sequence[Rig],
    seeds: Sequence[int],
    actor: Actor | None,
    balance_s: float = BALANCE_S,
    gains: Gains | None = None,
) -> Outcomes:
    """Run a trial on each rig.

    Args:
        rigs: all different, or not.
        seeds: of the starts and the units, one a rig.
        actor: who drives; None: the teacher that sees the rig's numbers.
        balance_s: for how long the pole must stay up after the 15 s.
        gains: of the teacher, as `rollout.drive` takes them.
    """
    period_s = np.array([rig.period_s for rig in rigs])
    whole = np.ceil((SWING_UP_S + balance_s) / period_s).astype(np.int64)
    steps = int(whole.max())
    driven = drive(rigs, seeds, actor, steps=steps, gains=gains, labelled=False)
    tick = np.arange(len(driven.running))[:, None]
    within = tick < whole
    met_limit = np.asarray((~driven.running & within).any(axis=0))
    rewards = (driven.rewards * (tick * period_s < RETURN_S)).sum(axis=0, dtype=np.float64)
    last_down = np.where(~driven.balanced & within, tick + 1, 0).max(axis=0)
    swung_up_s = np.where(last_down < whole, (last_down + 1) * period_s, np.nan)
    balanced = ~np.isnan(swung_up_s) & (swung_up_s <= SWING_UP_S)
    return Outcomes(balanced, swung_up_s, met_limit, rewards * period_s / RETURN_S)
