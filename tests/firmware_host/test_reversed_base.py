"""A healthy rig is not stopped for a reversed base, however heavy its pole; a reversed one is."""

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

from reversed_base import (
    FIRST_RIG,
    Driver,
    Swap,
    at_random,
    check_library,
    checked,
    controller,
    student,
    teacher,
    watched,
)

RIGS, SECONDS = 40, 10.0


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
    assert not [stop for stop in stops if stop.fault == Fault.REVERSED_BASE]


@pytest.mark.parametrize(
    ("name", "driver", "ticks"),
    [("cartpole", student, 70), ("sensorsini_cartpole", teacher, 10), ("qube_servo2", teacher, 6)],
)
def test_every_rig_whose_base_counts_backwards_is_stopped(
    tmp_path: Path, name: str, driver: Callable[[Sequence[Rig]], Driver], ticks: int
) -> None:
    rigs = _rigs(name)
    seen = watched(rigs, driver(rigs), Swap(base=-1), 2.0)
    stops = checked(check_library(tmp_path), rigs, seen)
    assert {stop.fault for stop in stops} <= {Fault.REVERSED_BASE, Fault.REVERSED_POLE}
    late = [stop.tick for stop in stops]
    assert np.median(late) <= 5 and max(late) <= ticks


@pytest.mark.parametrize("name", ["sensorsini_cartpole", "qube_servo2"])
def test_a_motor_with_swapped_wires_is_found(tmp_path: Path, name: str) -> None:
    rigs = _rigs(name)
    seen = watched(rigs, teacher(rigs), Swap(base=-1, pole=-1), 2.0)
    stops = checked(check_library(tmp_path), rigs, seen)
    assert {stop.fault for stop in stops} == {Fault.REVERSED_BASE}
