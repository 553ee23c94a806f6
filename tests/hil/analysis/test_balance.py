from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.hil.analysis.balance import (
    CAPTURE_S,
    Balance,
    CaptureWatch,
    assess_balance,
    find_capture,
)
from sparsectl.hil.planning.disturbance import knocking_duty, plan_kicks
from sparsectl.plants.rig import load_rig, rig_names

PERIOD_S = 0.02


def judged(*parts: tuple[float, float], kicks: tuple[float, ...] = ()) -> Balance:
    """Assess an angle that has each value for so many seconds."""
    angle = np.concatenate([np.full(round(s / PERIOD_S), value) for s, value in parts])
    time_s = np.asarray(100.0 + np.arange(angle.size) * PERIOD_S, dtype=np.float64)
    return assess_balance(time_s, angle, [100.0 + kick for kick in kicks], 4.0, 1.0)


def test_a_steady_balance() -> None:
    found = judged((2.0, 3.0), (4.02, 0.01))
    assert found.balanced and found.swing_up_seconds == 2.0
    assert found.balanced_seconds == found.held_seconds == 4.0


def test_passing_through_upright_is_no_capture() -> None:
    found = judged((1.0, 3.0), (CAPTURE_S - 0.04, 0.1), (1.0, 3.0), (4.02, -0.1))
    assert found.balanced and found.swing_up_seconds == 2.46


def test_leaving_the_band_spoils_it_unless_a_kick_excuses_it() -> None:
    parts = ((1.0, 3.0), (2.0, 0.0), (0.5, 0.3), (3.0, 0.0))
    assert not judged(*parts).balanced
    assert judged(*parts, kicks=(3.0,)).balanced
    assert not judged(*parts, kicks=(1.5,)).balanced, "the recovery time was over by then"
    assert judged(*parts).balanced_seconds == 2.98


def test_it_must_be_up_at_the_end_and_long_enough() -> None:
    assert not judged((3.0, 0.0), (1.5, 0.0), (0.1, 0.5), kicks=(4.4,)).balanced
    assert not judged((3.0, 0.0)).balanced
    assert not judged((3.0, 3.1)).balanced
    assert judged((3.0, 3.1)).swing_up_seconds is None


@given(st.lists(st.floats(-0.4, 0.4), max_size=200), st.lists(st.integers(1, 3), max_size=200))
def test_the_watch_and_the_assessment_find_the_same_capture(
    angles: list[float], repeats: list[int]
) -> None:
    angle = np.array([a for a, n in zip(angles, repeats, strict=False) for _ in range(20 * n)])
    time_us = 5_000 + 20_000 * np.arange(angle.size)
    watch = CaptureWatch()
    for now_us, value in zip(time_us.tolist(), angle.tolist(), strict=True):
        watch.take(now_us, value)
    found = find_capture(np.abs(angle) < 0.2, np.asarray(time_us * 1e-6, dtype=np.float64))
    assert watch.captured_us == (None if found is None else int(time_us[found]))


@given(st.integers(0, 20), st.floats(1.0, 600.0), st.integers(0, 2**40))
def test_kicks_are_in_order_within_the_trial_and_repeatable(
    count: int, seconds: float, seed: int
) -> None:
    kicks = plan_kicks(count, seconds, 0.3, 0.06, PERIOD_S, seed)
    assert kicks == plan_kicks(count, seconds, 0.3, 0.06, PERIOD_S, seed)
    times = [kick.after_s for kick in kicks]
    assert len(kicks) == count and times == sorted(times)
    assert all(0 < time_s < seconds for time_s in times)
    assert all(abs(kick.duty) == 0.3 and kick.ticks == 3 for kick in kicks)


@pytest.mark.parametrize("rig", rig_names())
def test_a_default_kick_is_within_what_the_motor_can_and_stronger_for_a_shorter_time(
    rig: str,
) -> None:
    long, short = (knocking_duty(load_rig(rig), kick_s) for kick_s in (0.2, 0.06))
    assert 0.05 <= long < short <= load_rig(rig).motor.max_duty
