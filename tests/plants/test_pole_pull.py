"""The bound of a pole's pull on its base, beside MuJoCo and the ranges."""

from __future__ import annotations

from dataclasses import replace
from math import cos, nan, sin

import mujoco
import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.plants.drawing import draw_rig
from sparsectl.plants.plant import Plant
from sparsectl.plants.pole_pull import HEAVIEST, PolePull, pole_pull
from sparsectl.plants.rig import Rig


def _own(rig: Rig) -> PolePull:
    """Of the rig's masses, without what every cart has at least."""
    pole, inertia = rig.pole, rig.moved_inertia
    moment = pole.moment_kgm * rig.lever_m
    at_least = pole_pull(
        rig.lever_m, inertia, pole.moment_kgm, pole.inertia_kgm2, rotary=rig.is_rotary
    )
    return replace(
        at_least,
        pull=moment / inertia,
        fall=pole.moment_kgm * 9.81 / pole.inertia_kgm2,
        coupled=moment**2 / (pole.inertia_kgm2 * inertia),
    )


@pytest.mark.parametrize("family", ["cartpole", "furuta"])
@pytest.mark.parametrize("seed", range(4))
def test_the_equation_is_mujocos(family: str, seed: int) -> None:
    rig = draw_rig(family, 700_000_000 + seed)
    base = replace(rig.base, viscous_friction=0.0, coulomb_friction=0.0)
    pole = replace(rig.pole, viscous_friction=0.0, coulomb_friction=0.0)
    plant = Plant(replace(rig, base=base, pole=pole, motor=replace(rig.motor, back_emf_v=0.0)))
    numbers, side = _own(rig), -1.0 if rig.is_rotary else 1.0
    random = np.random.default_rng(seed)
    for _ in range(20):
        angle, speed, turn = random.uniform(-3, 3), random.uniform(-4, 4), random.uniform(-20, 20)
        plant.data.qpos[:], plant.data.qvel[:] = (0.0, angle), (speed, turn)
        plant.data.ctrl[0] = 0.0
        mujoco.mj_forward(plant.model, plant.data)
        s, c = sin(angle), cos(angle)
        spin = numbers.pull * speed**2 * c**2 if rig.is_rotary else 0.0
        drag = side * s * (numbers.pull * (turn**2 - numbers.fall * c) - spin)
        drag -= 2.0 * numbers.level * s * c * speed * turn
        drag /= 1.0 - numbers.coupled * c**2 + numbers.level * s**2
        assert plant.data.qacc[0] == pytest.approx(drag, rel=2e-3, abs=2e-3)


def test_no_drawn_cart_has_a_heavier_pole_than_the_heaviest() -> None:
    for seed in range(500):
        own = _own(draw_rig("cartpole", 700_000_000 + seed))
        # The pull of gravity is the product; a short light pole falls fast and drags little.
        assert own.pull <= HEAVIEST.pull and own.coupled <= HEAVIEST.coupled
        assert own.pull * own.fall <= HEAVIEST.pull * HEAVIEST.fall
        assert own.push == HEAVIEST.push


@pytest.mark.parametrize(
    "numbers",
    [(0.0, 0.1, 1.0, 0.1), (1.0, -0.1, 1.0, 0.1), (1.0, 0.1, nan, 0.1), (1.0, 0.1, 1.0, 1.0)],
)
def test_a_pull_that_no_pole_has_is_refused(numbers: tuple[float, float, float, float]) -> None:
    """A journal's header may say anything; C is compiled from it."""
    with pytest.raises(UserError, match="the rig's pole_pull has"):
        PolePull(*numbers)
