"""A healthy rig is not stopped, however heavy its pole; one whose encoder is reversed is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sparsectl.plants.drawing import draw_rig
from sparsectl.plants.rig import Rig, load_rig
from sparsectl.protocol.enums import Fault

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from driven_rigs import (
    PUSHES,
    Driver,
    Push,
    Swap,
    at_random,
    controller,
    student,
    teacher,
    watched,
)
from reversed_base import check_library, checked, stuck

RIGS, SECONDS = 40, 10.0
FIRST_RIG = 600_000_000
"""The checks' margins were chosen on these and the next 300."""
UNSEEN_RIG = 900_000_000


def _rigs(name: str) -> list[Rig]:
    if name in ("cartpole", "furuta"):
        return [draw_rig(name, FIRST_RIG + 1000 + number) for number in range(RIGS)]
    return [load_rig(name)] * RIGS


CASES = [
    ("cartpole", student),
    ("cartpole", controller),
    ("cartpole", at_random),
    ("furuta", controller),
    ("furuta", at_random),
    ("sensorsini_cartpole", teacher),
    ("qube_servo2", teacher),
]


@pytest.mark.parametrize(("name", "driver"), CASES)
def test_no_healthy_rig_is_stopped(
    tmp_path: Path, name: str, driver: Callable[[Sequence[Rig]], Driver]
) -> None:
    rigs = _rigs(name)
    seen = watched(rigs, driver(rigs), Swap(), SECONDS)
    stops = checked(check_library(tmp_path), rigs, seen)
    assert {stop.fault for stop in stops} == {Fault.NONE}


@pytest.mark.parametrize("driver", [student, controller])
def test_a_base_that_its_pole_holds_is_not_stuck(
    tmp_path: Path, driver: Callable[[Sequence[Rig]], Driver]
) -> None:
    """Of these carts motor, friction and the swinging pole hold each other for 0.1 s."""
    rigs = [draw_rig("cartpole", FIRST_RIG + number) for number in range(300)]
    seen = watched(rigs, driver(rigs), Swap(), SECONDS)
    assert {stop.fault for stop in checked(check_library(tmp_path), rigs, seen)} == {Fault.NONE}


@pytest.mark.parametrize(
    ("name", "driver", "share"),
    [
        ("cartpole", student, 0.8),
        ("cartpole", controller, 0.9),
        ("furuta", controller, 0.9),
        ("sensorsini_cartpole", teacher, 0.9),
        ("qube_servo2", teacher, 0.85),
    ],
)
def test_a_pole_encoder_that_freezes_is_found(
    tmp_path: Path, name: str, driver: Callable[[Sequence[Rig]], Driver], share: float
) -> None:
    """But where the base stays near one place, and nothing can show it."""
    rigs = _rigs(name)
    seen = watched(rigs, driver(rigs), Swap(), SECONDS, freezes=True)
    found = stuck(rigs, checked(check_library(tmp_path), rigs, seen), seen)
    assert sum(found["by"].values()) >= share * found["rigs"]
    assert found["at_limit"] <= 1 and found["seconds"]["median"] < 0.4


@pytest.mark.parametrize(
    ("name", "driver", "share", "seconds"),
    [
        ("cartpole", student, 1.0, 1.0),
        ("cartpole", controller, 0.7, 10.0),
        ("furuta", controller, 0.9, 10.0),
        ("sensorsini_cartpole", teacher, 1.0, 1.5),
        ("qube_servo2", teacher, 1.0, 0.5),
    ],
)
def test_a_pole_encoder_that_never_counts_is_found(
    tmp_path: Path,
    name: str,
    driver: Callable[[Sequence[Rig]], Driver],
    share: float,
    seconds: float,
) -> None:
    """Even where the policy swings the base about one place, as the cart-pole's teacher does. Not
    every rig of the controller that knows the masses is found."""
    rigs = _rigs(name)
    seen = watched(rigs, driver(rigs), Swap(), SECONDS, is_dead=True)
    stops = checked(check_library(tmp_path), rigs, seen)
    found = [stop.tick * rig.period_s for stop, rig in zip(stops, rigs, strict=True) if stop.fault]
    assert {stop.fault for stop in stops} <= {Fault.NONE, Fault.STUCK_POLE}
    assert len(found) >= share * len(rigs) and max(found) <= seconds


@pytest.mark.parametrize("push", PUSHES)
@pytest.mark.parametrize("driver", [student, controller])
def test_a_finger_against_the_pole_is_no_reversed_encoder(
    tmp_path: Path, driver: Callable[[Sequence[Rig]], Driver], push: Push
) -> None:
    rigs = [draw_rig("cartpole", UNSEEN_RIG + number) for number in range(RIGS)]
    seen = watched(rigs, driver(rigs), Swap(), SECONDS, push)
    assert seen.pushes > 2 * RIGS
    stops = checked(check_library(tmp_path), rigs, seen)
    assert Fault.REVERSED_POLE not in {stop.fault for stop in stops}


@pytest.mark.parametrize(
    ("name", "driver", "share"),
    [
        ("cartpole", controller, 0.9),
        ("cartpole", at_random, 0.98),
        ("furuta", at_random, 0.9),
        ("sensorsini_cartpole", teacher, 1.0),
        ("qube_servo2", teacher, 1.0),
    ],
)
def test_a_pole_that_counts_backwards_is_found(
    tmp_path: Path, name: str, driver: Callable[[Sequence[Rig]], Driver], share: float
) -> None:
    """Wherever the base is jerked harder than gravity pulls, however coarse the encoder."""
    rigs = _rigs(name)
    seen = watched(rigs, driver(rigs), Swap(pole=-1), SECONDS)
    stops = checked(check_library(tmp_path), rigs, seen)
    assert np.mean([stop.fault == Fault.REVERSED_POLE for stop in stops]) >= share


@pytest.mark.parametrize(
    ("name", "driver", "median", "ticks"),
    [
        ("cartpole", student, 6, 70),
        ("sensorsini_cartpole", teacher, 5, 10),
        ("qube_servo2", teacher, 5, 6),
    ],
)
def test_every_rig_whose_base_counts_backwards_is_stopped(
    tmp_path: Path, name: str, driver: Callable[[Sequence[Rig]], Driver], median: int, ticks: int
) -> None:
    rigs = _rigs(name)
    seen = watched(rigs, driver(rigs), Swap(base=-1), 2.0)
    stops = checked(check_library(tmp_path), rigs, seen)
    assert {stop.fault for stop in stops} <= {Fault.REVERSED_BASE, Fault.REVERSED_POLE}
    late = [stop.tick for stop in stops]
    assert np.median(late) <= median and max(late) <= ticks


@pytest.mark.parametrize("name", ["sensorsini_cartpole", "qube_servo2"])
def test_a_motor_with_swapped_wires_is_found(tmp_path: Path, name: str) -> None:
    rigs = _rigs(name)
    seen = watched(rigs, teacher(rigs), Swap(base=-1, pole=-1), 2.0)
    stops = checked(check_library(tmp_path), rigs, seen)
    assert {stop.fault for stop in stops} == {Fault.REVERSED_BASE}
