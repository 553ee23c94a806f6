"""The teacher of carts and arms that looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from sparsectl.plants.drawing import draw_rig
from sparsectl.plants.equations import Motion
from sparsectl.plants.plant import Parameters
from sparsectl.plants.rig import Rig
from sparsectl.training.any_rig import planning
from sparsectl.training.any_rig.law import Unit, unit_of
from sparsectl.training.any_rig.planning import (
    ARMS,
    CARTS,
    LIMIT_COST,
    Choice,
    Planning,
    best_way,
    teacher_of,
    worth_of,
)
from sparsectl.training.any_rig.rollout import drive
from sparsectl.training.any_rig.teacher import ModelBased, gains_for

TICKS = 500

CHOICES = {"cartpole": CARTS, "furuta": ARMS}
both = pytest.mark.parametrize("family", CHOICES)


def _unit(rig: Rig) -> Unit:
    unit: Unit = unit_of(ModelBased([rig], [Parameters()]).numbers, 0)
    return unit


@both
def test_it_swings_up_faster_than_the_law_alone_and_meets_no_limit(family: str) -> None:
    rigs = [draw_rig(family, 420_100_000 + k) for k in range(40)]
    ahead = drive(rigs, range(40), None, steps=TICKS)
    law = drive(rigs, range(40), None, steps=TICKS, gains=gains_for(rigs))
    assert ahead.running.all()
    assert ahead.rewards.mean() > law.rewards.mean() + 0.05


def test_short_poles_on_strong_motors_are_simulated_in_parts_of_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rigs = [draw_rig("furuta", 420_000_000 + k, corner=True) for k in range(100)]

    def mean_reward(choice: Choice) -> float:
        monkeypatch.setattr(planning, "ARMS", choice)
        return float(drive(rigs, range(100), None, steps=TICKS).rewards.mean())

    law = drive(rigs, range(100), None, steps=TICKS, gains=gains_for(rigs)).rewards.mean()
    assert mean_reward(ARMS) > max(law, mean_reward(ARMS._replace(largest_phase=9.0))) + 0.01


@both
def test_a_pole_that_is_up_is_left_to_the_law(family: str) -> None:
    rigs = [draw_rig(family, k) for k in range(6)]
    numbers = np.zeros(6)
    still = Motion(numbers + 0.01, numbers + 0.02, numbers.copy(), numbers.copy())
    ahead, law = Planning(rigs, [Parameters()] * 6), ModelBased(rigs, [Parameters()] * 6)
    for _ in range(5):
        np.testing.assert_array_equal(ahead.act(still, numbers), law.act(still, numbers))


@both
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_no_way_leads_beyond_the_limit_if_another_does_not(family: str, side: float) -> None:
    rig, choice = draw_rig(family, 3), CHOICES[family]
    unit = _unit(rig)
    # The pole hangs, and the base runs outwards.
    state = (0.6 * side * unit.limit, np.pi + 0.5, 0.3 * side * unit.fastest, 0.0)
    worths = [worth_of(unit, state, way, rig.period_s, 10.0, choice) for way in choice.ways]
    outwards = [k for k, way in enumerate(choice.ways) if way.duty == side and way.phase > 1.0]
    assert max(worths[k] for k in outwards) < 0.0 < LIMIT_COST + min(worths)
    best = best_way(unit, state, rig.period_s, 10.0, choice)
    assert worths[best] == max(worths) and best not in outwards


@both
def test_a_way_ends_before_the_limit_by_the_share_that_is_safe(family: str) -> None:
    rig, choice = draw_rig(family, 3), CHOICES[family]
    unit = _unit(rig)

    def worth(share: float) -> float:
        state = (share * choice.safe_limit * unit.limit, np.pi, 0.0, 0.0)
        return float(worth_of(unit, state, choice.ways[0], rig.period_s, 10.0, choice))

    assert worth(1.05) < -0.9 * LIMIT_COST < worth(0.7)


@both
def test_it_is_the_same_from_either_side(family: str) -> None:
    rigs = [draw_rig(family, k) for k in range(4)]
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


@both
def test_given_gains_have_the_law_alone(family: str) -> None:
    rigs = [draw_rig(family, 0)]
    assert type(teacher_of(rigs, [Parameters()], gains_for(rigs))) is ModelBased
    assert type(teacher_of(rigs, [Parameters()])) is Planning
