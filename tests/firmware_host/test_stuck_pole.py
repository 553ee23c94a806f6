"""A pole whose count stands still is stuck only where a free one would have moved."""

from __future__ import annotations

import itertools
import math

import pytest

from sparsectl.protocol.wire import Fault
from sparsectl.protocol.wire import State as S
from tests.firmware_host.core_library import Core
from tests.firmware_host.test_safety import STUCK, _active, _now, _tick


def test_a_coarse_pole_in_balance_is_not_stuck(core: Core) -> None:
    """It sways within a count of its encoder for a minute, while the base goes to and fro below it
    and slowly elsewhere: 1,200 counts a turn and good balance once ended in STUCK_POLE."""
    _active(core)
    for tick in range(1, 3001):
        sway = math.sin(tick / 5)
        _tick(core, round(20 * sway) + tick // 5, round(0.6 * sway), output=0.2)
    assert _now(core) == (S.ACTIVE, Fault.NONE)


@pytest.mark.parametrize("flicker", [0, 1, -1])
def test_stuck_pole(core: Core, flicker: int) -> None:
    """One that flickers has lost a channel of its encoder, and is no better."""
    _active(core)
    for tick in range(1, STUCK + 1):
        assert _now(core)[0] == S.ACTIVE
        _tick(core, 8 * tick * tick, flicker * (tick % 2), output=0.2)
    assert _now(core) == (S.FAULT, Fault.STUCK_POLE)


@pytest.mark.parametrize("flicker", [0, 1])
def test_a_pole_whose_base_only_swings_about_its_middle_is_stuck(core: Core, flicker: int) -> None:
    """The base swings by 20 counts to either side, a fiftieth of its limit, and travels nowhere. A
    free pole would swing with it, so the trial does not go on until its swing-up is overdue."""
    _active(core)
    for tick in range(1, 12 * STUCK):
        _tick(core, round(20 * math.sin(tick)), flicker * (tick % 2), output=0.2)
    assert _now(core) == (S.FAULT, Fault.STUCK_POLE)


def test_a_pole_that_stood_still_too_long_for_a_moment_is_not_stuck(core: Core) -> None:
    """Friction holds a hanging pole through a brief stroke of the base, again and again, and each
    time its count moves at last: single strokes do not add up."""
    _active(core)
    pole = 0
    for tick in range(1, 60 * STUCK):
        stroke = tick % (3 * STUCK)
        base = round(20 * math.sin(stroke)) if stroke < STUCK else 0
        pole += 3 if stroke == 2 * STUCK else 0
        _tick(core, base, pole, output=0.2)
        assert _now(core)[0] == S.ACTIVE


@pytest.mark.parametrize("upright", [False, True])
def test_a_pole_above_a_base_that_runs_evenly_is_not_stuck(core: Core, upright: bool) -> None:
    """Nothing turns it, until the base brakes: then a pole whose count stands still is stuck."""
    core.c.shim_safety_begin(S.ARMED)
    pole = 4170 // 2 if upright else 0
    places = [-900 + 25 * tick for tick in range(3 * STUCK)]
    for base in places:
        _tick(core, base, pole, output=0.2)
        assert _now(core)[0] == S.ACTIVE
    for step in (18, 10, 2, -6, -14, -22, -30, -38):
        places.append(places[-1] + step)
        _tick(core, places[-1], pole, output=0.2)
    assert _now(core)[1] == Fault.STUCK_POLE


@pytest.mark.parametrize(("way", "fault"), [(1, Fault.NONE), (-1, Fault.STUCK_POLE)])
def test_a_pole_that_leans_as_the_base_is_accelerated_is_not_stuck(
    core: Core, way: int, fault: Fault
) -> None:
    """Carried along upright, it leans the way in which the base is accelerated, by 14 degrees where
    that is a quarter of g, and does not turn. Leaning the other way it would fall."""
    core.c.shim_safety_begin(S.ARMED)
    lean = round(way * math.atan2(10, 40) / (2 * math.pi) * 4170)
    for tick in range(2 * STUCK):
        _tick(core, 5 * tick * tick, 4170 // 2 + lean, output=0.2)
        if fault == Fault.NONE:
            assert _now(core)[0] == S.ACTIVE
    assert _now(core)[1] == fault


@pytest.mark.parametrize("steps", ["1" * 3 * STUCK, "3221111"])
def test_a_pole_that_creeps_or_turns_about_is_not_stuck(core: Core, steps: str) -> None:
    _active(core)
    there = list(itertools.accumulate(map(int, steps)))
    for tick, pole in enumerate([*there, *there[::-1]], 1):
        _tick(core, 20 * tick, pole, output=0.2)
    assert _now(core)[0] == S.ACTIVE


def test_balanced_pole_is_not_stuck(core: Core) -> None:
    """The base dithers by a count, the pole stands: too little travel to tell."""
    _active(core)
    for tick in range(4 * STUCK):
        _tick(core, tick % 2, 0, output=0.2)
    assert _now(core)[0] == S.ACTIVE
