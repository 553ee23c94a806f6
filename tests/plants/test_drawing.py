"""Drawn rigs: ordinary rigs, within their ranges, the same from the same number."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.plants.drawing import (
    Ranges,
    draw_rig,
    draw_table,
    families,
    feasible,
    figures_of,
    load_ranges,
    rig_text,
)
from sparsectl.plants.gravity import GRAVITY
from sparsectl.plants.rig import LINEAR, Rig, load_rig
from sparsectl.plants.side_by_side import PendulumEpisodes

SHIPPED = {"cartpole": "sensorsini_cartpole", "furuta": "qube_servo2"}


def shares_of(rig: Rig) -> dict[tuple[str, str], float]:
    """A rig's numbers as the ranges have them, computed back from its file's."""
    base, pole, motor, lever_m = rig.base, rig.pole, rig.motor, rig.lever_m
    own = base.mass_kg * (1.0 if rig.model == LINEAR else lever_m**2 / 3.0)
    moved = own + base.rotor_inertia + (pole.mass_kg + pole.tip_mass_kg) * lever_m**2
    effort, weight = motor.full_effort, pole.moment_kgm * GRAVITY
    fastest = effort / motor.damping
    shares = {
        ("base", "mass_kg"): base.mass_kg,
        ("base", "rotor_share"): base.rotor_inertia / own,
        ("base", "limit"): base.limit,
        ("base", "friction_share"): base.coulomb_friction / effort,
        ("base", "viscous_share"): base.viscous_friction * fastest / effort,
        ("pole", "mass_share"): (pole.mass_kg + pole.tip_mass_kg)
        / (base.mass_kg * (1.0 + base.rotor_inertia / own)),
        ("pole", "length_m"): pole.length_m,
        ("pole", "tip_share"): pole.tip_mass_kg / pole.mass_kg,
        ("pole", "counts_per_turn"): pole.counts_per_turn,
        ("pole", "damping_share"): pole.viscous_friction
        / (2.0 * math.sqrt(weight * pole.inertia_kgm2)),
        ("pole", "friction_share"): pole.coulomb_friction / weight,
        ("motor", "supply_v"): motor.supply_v,
        ("motor", "acceleration"): effort / moved * lever_m,
        ("motor", "no_load_speed"): fastest * lever_m,
        ("motor", "dead_zone_share"): motor.dead_zone_v / motor.supply_v,  # type: ignore[union-attr]
    }
    if rig.model == LINEAR:
        shares["base", "unit_per_count"] = base.unit_per_count
    else:
        shares["base", "length_m"] = base.length_m
        shares["base", "counts_per_turn"] = 2.0 * math.pi / base.unit_per_count
    for key in load_ranges("cartpole").numbers["line"]:
        low, high = getattr(rig.randomisation, key)
        assert low == high
        shares["line", key] = low
    return shares


def outside(rig: Rig, ranges: Ranges, but: tuple[str, ...] = ()) -> list[str]:
    shares = shares_of(rig)
    assert {key for section in ranges.numbers.values() for key in section} == {
        key for _, key in shares
    }
    return [
        f"{section} {key}: {value}"
        for (section, key), value in shares.items()
        if section not in but and not ranges.numbers[section][key].holds(value)
    ]


@pytest.mark.parametrize("family", families())
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_drawn_rig_is_within_the_ranges_feasible_and_read_again_from_its_file(
    family: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = draw_table(family, seed)
    rig, ranges = draw_rig(family, seed), load_ranges(family)
    assert outside(rig, ranges) == []
    assert rig.period_s in ranges.periods_s
    assert feasible(rig)
    assert tomllib.loads(rig_text(table)) == table
    path = tmp_path_factory.mktemp("drawn") / f"{rig.name}.toml"
    path.write_text(rig_text(table))
    assert load_rig(path) == rig
    rig.firmware_constants()
    assert draw_rig(family, seed + 1) != rig


@pytest.mark.parametrize(("family", "name"), SHIPPED.items())
def test_the_ranges_hold_the_shipped_rig(family: str, name: str) -> None:
    """But for its randomisation, which is of many units where a drawn rig is one."""
    rig, ranges = load_rig(name), load_ranges(family)
    for key, spread in ranges.numbers["line"].items():
        low, high = getattr(rig.randomisation, key)
        assert spread.low <= low <= high <= spread.high
    one_unit = draw_rig(family, 0).randomisation
    assert outside(replace(rig, randomisation=one_unit), ranges, but=("line",)) == []
    assert rig.period_s in ranges.periods_s and feasible(rig)


@pytest.mark.parametrize("family", families())
def test_a_motor_that_is_too_weak_makes_a_rig_infeasible(family: str) -> None:
    """By what the criterion says: full duty cannot accelerate the hinge enough to catch a lean."""
    rig = draw_rig(family, 3)
    weak = replace(rig.motor, effort_per_volt=rig.motor.effort_per_volt * 0.05)  # type: ignore[union-attr, call-arg]
    assert feasible(rig) and not feasible(replace(rig, motor=weak))
    # What the criterion calls push is what the simulated base does from rest, the pole hanging.
    still = replace(rig, start=replace(rig.start, base=0.0, pole_rad=0.0, pole_velocity=0.0))
    episodes = PendulumEpisodes([still], [0], randomised=False)
    episodes.units.advance(np.zeros(1), np.array([1e-4]), np.ones(1))
    pushed = episodes.units.motion.velocity[0] / 1e-4 * rig.lever_m
    # The hanging pole gives way, so that the hinge feels less than the pole's whole mass.
    assert pushed >= figures_of(rig).push * 0.99


@pytest.mark.parametrize("family", families())
def test_the_corner_lies_within_the_ranges_and_its_rigs_within_the_corner(family: str) -> None:
    """Training alone draws there: the same number gives the same rig as ever where nobody asks for
    the corner."""
    ranges = load_ranges(family)
    assert set(ranges.corner_periods_s) <= set(ranges.periods_s)
    for section, keys in ranges.corner.items():
        for key, spread in keys.items():
            whole = ranges.numbers[section][key]
            assert whole.low <= spread.low < spread.high <= whole.high, (section, key)
            assert whole.logarithmic == spread.logarithmic, (section, key)
    narrowed = {section: keys | ranges.corner[section] for section, keys in ranges.numbers.items()}
    for seed in range(40):
        rig = draw_rig(family, seed, corner=True)
        assert outside(rig, replace(ranges, numbers=narrowed)) == []
        assert rig.period_s in ranges.corner_periods_s and feasible(rig)
        assert rig != draw_rig(family, seed) and rig == draw_rig(family, seed, corner=True)
    shipped = shares_of(replace(load_rig(SHIPPED[family]), randomisation=rig.randomisation))
    assert all(
        spread.holds(shipped[section, key])
        for section, keys in ranges.corner.items()
        for key, spread in keys.items()
    )


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(UserError, match="no ranges of 'acrobot'; known: cartpole, furuta"):
        draw_rig("acrobot", 0)
