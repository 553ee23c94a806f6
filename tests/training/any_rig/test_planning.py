"""The teacher of carts that looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from sparsectl.plants.drawing import draw_rig
from sparsectl.plants.equations import Motion
from sparsectl.plants.plant import Parameters
from sparsectl.plants.rig import Rig
from sparsectl.training.any_rig.law import Unit, unit_of
from sparsectl.training.any_rig.planning import (
    LIMIT_COST,
    WAYS,
    Planning,
    best_way,
    teacher_of,
    worth_of,
)
from sparsectl.training.any_rig.rollout import drive
from sparsectl.training.any_rig.teacher import CART_GAINS, ModelBased

TICKS = 500


def _unit(rig: Rig) -> Unit:
    unit: Unit = unit_of(ModelBased([rig], [Parameters()]).numbers, 0)
    return unit


def test_it_swings_up_faster_than_the_law_alone_and_meets_no_limit() -> None:
    rigs = [draw_rig("cartpole", 420_100_000 + k) for k in range(40)]
    ahead = drive(rigs, range(40), None, steps=TICKS)
    law = drive(rigs, range(40), None, steps=TICKS, gains=CART_GAINS)
    assert ahead.running.all()
    assert ahead.rewards.mean() > law.rewards.mean() + 0.05


def test_a_pole_that_is_up_is_left_to_the_law() -> None:
    rigs = [draw_rig("cartpole", k) for k in range(6)]
    numbers = np.zeros(6)
    still = Motion(numbers + 0.01, numbers + 0.02, numbers.copy(), numbers.copy())
    planning, law = Planning(rigs, [Parameters()] * 6), ModelBased(rigs, [Parameters()] * 6)
    for _ in range(5):
        np.testing.assert_array_equal(planning.act(still, numbers), law.act(still, numbers))


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_no_way_leads_beyond_the_limit_if_another_does_not(side: float) -> None:
    rig = draw_rig("cartpole", 3)
    unit = _unit(rig)
    # The pole hangs, and the base runs outwards.
    state = (0.6 * side * unit.limit, np.pi + 0.5, 0.3 * side * unit.fastest, 0.0)
    worths = [worth_of(unit, state, way, rig.period_s, 10.0) for way in WAYS]
    outwards = [k for k, way in enumerate(WAYS) if way.duty == side and way.phase > 1.0]
    assert max(worths[k] for k in outwards) < 0.0 < LIMIT_COST + min(worths)
    best = best_way(unit, state, rig.period_s, 10.0)
    assert worths[best] == max(worths) and best not in outwards


def test_it_is_the_same_from_either_side() -> None:
    rigs = [draw_rig("cartpole", k) for k in range(4)]
    random = np.random.default_rng(1)
    limit = np.array([rig.base.limit for rig in rigs])
    parts = (0.3 * limit, np.full(4, np.pi), np.full(4, 0.2), np.full(4, 3.0))
    position, angle, velocity, pole_velocity = (random.uniform(-1, 1, 4) * part for part in parts)
    last = random.uniform(-1, 1, 4)
    duties = [
        Planning(rigs, [Parameters()] * 4).act(
            Motion(s * position, s * angle, s * velocity, s * pole_velocity), s * last
        )
        for s in (1.0, -1.0)
    ]
    np.testing.assert_allclose(duties[0], -duties[1], atol=1e-9)


def test_arms_and_given_gains_have_the_law_alone() -> None:
    arms, carts = [draw_rig("furuta", 0)], [draw_rig("cartpole", 0)]
    assert type(teacher_of(arms, [Parameters()])) is ModelBased
    assert type(teacher_of(carts, [Parameters()], CART_GAINS)) is ModelBased
    assert type(teacher_of(carts, [Parameters()])) is Planning
