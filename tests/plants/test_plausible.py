"""Mistakes of unit and sign in a rig file are refused by the number; odd rigs are not."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.plants.drawing import rig_text
from sparsectl.plants.plausible import warn_of_fractional_counts
from sparsectl.plants.rig import RIGS_FOLDER, load_rig

CART, ARM = "sensorsini_cartpole", "qube_servo2"


def changed(name: str, section: str, key: str, value: Any, folder: Path) -> Path:
    table = copy.deepcopy(tomllib.loads((RIGS_FOLDER / f"{name}.toml").read_text()))
    (table[section] if section else table)[key] = value
    path = folder / "odd.toml"
    path.write_text(rig_text(table))
    return path


HUGE = 10**400
"""Beyond what a float holds."""

ABSURD = [
    (CART, "", "period_s", 10, "period_s is 10; give it in s"),
    (CART, "", "frames", 1.5, "frames is 1.5; give a whole number"),
    (CART, "base", "limit", 198.0, "limit is 198; give it in m"),
    (CART, "base", "limit_switch_at", 210.0, "limit_switch_at is 210; give it in m"),
    (CART, "base", "unit_per_count", 0.09, "2.2 counts of the limit"),
    (CART, "base", "mass_kg", 230.0, "mass_kg is 230; give it in kg"),
    (CART, "base", "viscous_friction", -9.0, "with the motor's damping, is -"),
    (CART, "base", "coulomb_friction", 100.0, "it cannot move; mend one"),
    (CART, "base", "rate_limit", 0.002, "which any motion exceeds"),
    (CART, "pole", "length_m", 39.5, "length_m is 39.5; give it in m"),
    (CART, "pole", "counts_per_turn", 4, "give at least 20"),
    (CART, "base", "rotor_inertia", 133.0, "rotor_inertia is 133, or its effort too small"),
    (CART, "base", "mass_kg", 49.0, "0.1 are needed: a mass is too large"),
    (CART, "pole", "rate_limit", 3437.0, "give rad/s, at most 1000"),
    (CART, "pole", "rate_limit", 0.06, "reaches 12.2 as it falls"),
    (CART, "pole", "velocity_scale", 1e-9, "below a thousandth of its rate_limit"),
    (CART, "motor", "supply_v", 12_000.0, "supply_v is 12000; give it in V"),
    (CART, "motor", "dead_zone_v", 13.0, "nothing beyond its dead zone at max_duty"),
    (CART, "motor", "dead_zone_v", -0.1, "dead_zone_v is -0.1; it must be 0 or more"),
    (CART, "motor", "current_limit_a", 3000.0, "current_limit_a is 3000; give it in A"),
    (CART, "start", "base", 0.5, "base is 0.5, not within the limit of 0.198"),
    (CART, "start", "pole_rad", -0.1, "pole_rad is -0.1; it must be 0 or more"),
    (CART, "start", "pole_rad", 10.0, "pole_rad is 10; give it in rad, 0 to 3.1416"),
    (CART, "start", "base_velocity", 90.0, "base_velocity is 90 m/s, not within the rate_limit"),
    (ARM, "start", "pole_velocity", 180.0, "pole_velocity is 180 rad/s, not within the rate_lim"),
    (CART, "randomisation", "rest_angle_bias_rad", [-3.0, 3.0], "give it in rad, at most 0.5"),
    (CART, "randomisation", "period_jitter", [0.0, 2.0], "give shares of a period"),
    (CART, "randomisation", "pole_mass_factor", [0.0, 1.0], "a factor must be above 0"),
    (CART, "randomisation", "dead_zone_factor", [-1.0, 1.0], "it must be 0 or more"),
    (ARM, "base", "limit", 115.0, "limit is 115; give it in rad"),
    (ARM, "base", "length_m", 85.0, "length_m is 85; give it in m"),
    (ARM, "base", "rotor_inertia", 4.6, "rotor_inertia is 4.6, or its effort too small"),
    (ARM, "base", "unit_per_count", 0.176, "11 counts of the limit"),
    (CART, "pole", "length_m", 1e300, "length_m is 1e+300; give a number within"),
    (CART, "pole", "length_m", HUGE, "length_m is 1000"),
    (CART, "", "frames", HUGE, "frames is 1000"),
    (CART, "randomisation", "supply_factor", [1, HUGE], "[randomisation] supply_factor is 1000"),
    (CART, "pole", "length_m", 1e-300, "length_m is 1e-300; give it in m, at least 0.0001"),
    (ARM, "base", "length_m", 1e-30, "length_m is 1e-30; give it in m, at least 0.0001"),
    (CART, "base", "mass_kg", 1e-30, "mass_kg is 1e-30; give it in kg, at least 1e-07"),
    (CART, "pole", "counts_per_turn", 2.0e8, "2e+08; give at most 100,000,000"),
    (CART, "base", "unit_per_count", 1e-10, "is 1e-10, 4e+08 counts in a control period"),
    (CART, "base", "velocity_scale", 1e6, "above a thousand times its rate_limit"),
    (CART, "motor", "effort_per_volt", 1e6, "a mass is too small, or its effort too large"),
    (CART, "motor", "stall_current_a", -1.4, "stall_current_a is -1.4; it must be 0 or more"),
    (CART, "randomisation", "pole_length_factor", [1.0, 1e6], "give at most 100"),
]


@pytest.mark.parametrize(("name", "section", "key", "value", "complaint"), ABSURD)
def test_what_no_pendulum_has_is_refused(
    tmp_path: Path, name: str, section: str, key: str, value: Any, complaint: str
) -> None:
    with pytest.raises(UserError) as caught:
        load_rig(changed(name, section, key, value, tmp_path))
    message = str(caught.value)
    assert complaint in message and "odd.toml" in message and "\n" not in message


ODD = [
    (CART, "", "period_s", 0.001),
    (CART, "", "period_s", 0.05),
    (CART, "base", "limit", 0.05),
    (CART, "base", "limit", 3.0),
    (CART, "base", "unit_per_count", -9e-5),
    (CART, "base", "viscous_friction", -0.01),
    (CART, "base", "rotor_inertia", 9.0),
    (ARM, "base", "rotor_inertia", 4.6e-3),
    (CART, "pole", "counts_per_turn", -4096),
    (CART, "pole", "counts_per_turn", 100_000),
    (CART, "pole", "counts_per_turn", 600 * 22 / 7),
    (CART, "pole", "tip_mass_kg", 1.0),
    (CART, "motor", "supply_v", 3.3),
    (CART, "motor", "supply_v", 48.0),
    (CART, "motor", "dead_zone_v", 4.8),
    (ARM, "base", "limit", 12.0),
]


@pytest.mark.parametrize(("name", "section", "key", "value"), ODD)
def test_odd_rigs_that_people_build_are_taken(
    tmp_path: Path, name: str, section: str, key: str, value: Any
) -> None:
    load_rig(changed(name, section, key, value, tmp_path)).firmware_constants()


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (4096, ""),
        (4096.0, ""),
        (-1885.7, "is -1885.7, which only .* may drift by 0.0002 rad a turn: give more digits"),
        (600 * 22 / 7, "is 1885.7142857142858, which only an encoder behind a gear has$"),
    ],
)
def test_counts_that_are_not_whole_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counts: float, told: str
) -> None:
    warn.cache_clear()
    warn_of_fractional_counts(load_rig(changed(CART, "pole", "counts_per_turn", counts, tmp_path)))
    said = capsys.readouterr().err.strip()
    assert re.search(told, said) if told else not said
