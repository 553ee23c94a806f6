from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.hil.timing.percentiles import NoiseFloor, intervals, percentiles


def test_percentiles_are_values_that_occurred() -> None:
    assert percentiles(range(1, 102)) == {"p50": 51.0, "p99": 100.0, "max": 101.0}
    assert percentiles([7]) == {"p50": 7.0, "p99": 7.0, "max": 7.0}
    assert percentiles([]) is None


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=300))
def test_percentiles_are_ordered_members(values: list[int]) -> None:
    found = percentiles(values)
    assert found is not None
    assert found["p50"] <= found["p99"] <= found["max"] == max(values)
    assert {found["p50"], found["p99"]} <= {float(value) for value in values}


def test_a_lost_tick_makes_no_double_period() -> None:
    times_us = np.array([0, 20_000, 40_100, 80_000, 99_900])
    ticks = np.array([0, 1, 2, 4, 5])
    none_missed = np.zeros(5, dtype=np.int64)
    assert intervals(times_us, ticks, none_missed).tolist() == [20_000, 20_100, 19_900]


def test_a_deadline_that_passed_is_a_long_period() -> None:
    times_us = np.array([0, 20_000, 60_000, 80_000])
    ticks, missed = np.array([0, 1, 3, 4]), np.array([65_535, 65_535, 0, 0])
    assert intervals(times_us, ticks, missed).tolist() == [20_000, 40_000, 20_000]


def test_the_noise_floor_is_measured_and_the_child_ends() -> None:
    with NoiseFloor(period_us=1000) as floor:
        found = floor.finish()
    assert found is not None
    assert 0 < found["p50"] <= found["p99"] <= found["max"]
    assert floor.finish() is None


def test_an_abandoned_noise_floor_is_ended() -> None:
    with NoiseFloor(period_us=1000) as floor:
        pass
    assert floor._child.returncode is not None


def test_the_measuring_child_of_a_killed_trial_says_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sparsectl.hil.timing.percentiles", "1000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin and child.stdout and child.stderr
        child.stdout.close()
        child.stdin.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0
