from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.firmware_host.core_library import RIG, Core

BOUND = 2e-7


def test_sine_and_cosine_over_the_turn(core: Core) -> None:
    phases = np.linspace(0, 2**32 - 1, 400_001).astype(np.uint32)
    exact = phases.astype(np.float64) * (2 * np.pi / 2**32)
    sine, cosine = core.sin_cos("shim_sin_cos", phases).astype(np.float64)
    assert np.abs(sine - np.sin(exact)).max() <= BOUND
    assert np.abs(cosine - np.cos(exact)).max() <= BOUND


def test_sine_and_cosine_of_every_count(core: Core) -> None:
    """Over five turns each way, and where a float would long have lost the angle."""
    far = np.array([-(2**31), 2**31 - 1, 10**9, -(10**9)])
    counts = np.concatenate([np.arange(-5 * 4170, 5 * 4170 + 1), far]).astype(np.int32)
    angle = np.pi + (counts % 4170).astype(np.float64) * RIG.pole_rad_per_count
    sine, cosine = core.sin_cos("shim_pole", counts).astype(np.float64)
    near = np.abs(counts) < 10**6
    assert np.abs(sine - np.sin(angle))[near].max() <= BOUND
    assert np.abs(cosine - np.cos(angle))[near].max() <= BOUND
    assert np.abs(sine - np.sin(angle)).max() <= 1e-5  # the angle a count is itself rounded


def test_an_encoder_behind_a_gear_keeps_its_angle_over_any_number_of_turns(tmp_path: Path) -> None:
    """600 counts and a gear of 22 to 7: only after seven turns a count falls on a whole one."""
    counts_per_turn = Fraction(600 * 22, 7)
    rig = replace(RIG, pole_rad_per_count=2 * math.pi / float(counts_per_turn))
    turns = [0, 1, 7, 50, 1_000, 100_000, 1_000_000]
    counts = np.array(
        [
            way * math.floor(turn * counts_per_turn) + part
            for turn in turns
            for part in range(0, 1886, 23)
            for way in (-1, 1)
        ],
        np.int32,
    )
    exact = [math.pi + 2 * math.pi * float(int(n) / counts_per_turn % 1) for n in counts]
    sine, cosine = Core(tmp_path, rig).sin_cos("shim_pole", counts).astype(np.float64)
    assert np.abs(sine - np.sin(exact)).max() <= BOUND
    assert np.abs(cosine - np.cos(exact)).max() <= BOUND


def test_hanging_and_upright(core: Core) -> None:
    sine, cosine = core.sin_cos("shim_pole", np.array([0, 2085, -2085], np.int32))
    np.testing.assert_allclose(cosine, [-1, 1, 1], atol=BOUND)
    np.testing.assert_allclose(sine, [0, 0, 0], atol=BOUND)


def _reference(counts: list[tuple[int, int]], frames: int) -> np.ndarray:
    """The history after the last of `counts`, one a period, float64."""
    rows = []
    before = counts[0]
    for base, pole in counts:
        angle = np.pi + pole * RIG.pole_rad_per_count
        base_speed = (base - before[0]) * RIG.base_unit_per_count / 0.02
        pole_speed = (pole - before[1]) * RIG.pole_rad_per_count / 0.02
        rows.append(
            [base * RIG.base_unit_per_count, base_speed, np.sin(angle), np.cos(angle), pole_speed]
        )
        before = (base, pole)
    rows = [rows[0]] * (frames - 1) + rows
    return np.concatenate(rows[-frames:])


@pytest.mark.parametrize("frames", [1, 5, 12])
def test_history_against_numpy(core: Core, frames: int) -> None:
    random = np.random.default_rng(0)
    walk = np.cumsum(random.integers(-90, 91, (40, 2)), axis=0) + [100, -3]
    counts = [(int(base), int(pole)) for base, pole in walk]
    core.c.shim_observe_init(frames)
    for length, (base, pole) in enumerate(counts, start=1):
        seen = core.observe(base, pole, frames)
        expected = _reference(counts[:length], frames)
        np.testing.assert_allclose(seen, expected, rtol=3e-7, atol=BOUND)


def test_reset_fills_the_history_without_velocity(core: Core) -> None:
    core.c.shim_observe_init(3)
    core.observe(500, 40, 3)
    core.observe(600, 80, 3)
    core.c.shim_observe_reset()
    frames = np.reshape(core.observe(-20, 7, 3), (3, 5))
    assert (frames == frames[0]).all()
    assert frames[0, 1] == frames[0, 4] == 0


def test_skipped_periods_do_not_double_the_velocity(core: Core) -> None:
    core.c.shim_observe_init(1)
    core.observe(0, 0, 1)
    once = core.observe(30, 30, 1)
    core.c.shim_observe_init(1)
    core.observe(0, 0, 1)
    twice = core.observe(60, 60, 1, periods=2)
    assert (once[1], once[4]) == (twice[1], twice[4])


def test_counts_may_wrap(core: Core) -> None:
    core.c.shim_observe_init(1)
    core.observe(2**31 - 1, 0, 1)
    assert core.observe(-(2**31), 0, 1)[1] == pytest.approx(RIG.base_unit_per_count / 0.02)
