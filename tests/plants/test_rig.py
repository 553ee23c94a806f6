"""Rig files: what comes with the project is whole, and a wrong file gets one clear line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.plants.motor import CurrentMotor
from sparsectl.plants.plant import Plant
from sparsectl.plants.pole_pull import PolePull
from sparsectl.plants.rig import RIGS_FOLDER, load_rig, rig_names
from sparsectl.plants.rig_constants import RigConstants


@pytest.mark.parametrize("name", rig_names())
def test_every_rig_loads_by_name_and_by_path(name: str) -> None:
    assert load_rig(name) == load_rig(RIGS_FOLDER / f"{name}.toml")


@pytest.mark.parametrize("name", rig_names())
def test_every_rig_gives_the_paper_sized_observation(name: str) -> None:
    signals = load_rig(name).signals()
    assert len(signals["observation"]) * signals["frames"] == 25


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        ("period_s = 0.02", "period_s = 0.0", "period_s is 0.0"),
        ("period_s = 0.02", 'period_s = "fast"', "period_s is 'fast'"),
        ("period_s = 0.02", "period = 0.02", "unknown key 'period'"),
        ("frames = 5", "", "'frames' is missing"),
        ("frames = 5", "frames = 0", "frames is 0"),
        ("mass_kg = 0.230", "mass_kg = -1", "[base] mass_kg is -1"),
        ("length_m = 0.395", "length_m = nan", "[pole] length_m is nan"),
        ('model = "linear.xml"', 'model = "spiral.xml"', "model is 'spiral.xml'"),
        ("max_duty = 1.0", "max_duty = 2", "max_duty is 2"),
        (
            "max_duty = 1.0",
            "max_duty = 0.5\nduties = [-0.6, 0.5]",
            "hold -0.6, beyond max_duty, 0.5",
        ),
        ("max_duty = 1.0", "max_duty = 1.0\nduties = 0.6", "[motor] duties are 0.6; give a list"),
        ("max_duty = 1.0", "max_duty = 1.0\nduties = [0.6]", "[motor] duties are 1; give 2 to 64"),
        ("max_duty = 1.0", "max_duty = 1.0\nduties = [-1, nan, 1]", "[motor] duties hold nan"),
        ("max_duty = 1.0", "max_duty = 1.0\nduties = [-1, true]", "[motor] duties hold True"),
        ("max_duty = 1.0", 'max_duty = 1.0\nduties = ["off", 1]', "[motor] duties hold 'off'"),
        ("max_duty = 1.0", "max_duty = 1.0\nduties = [1, -1, 1.0]", "of which two are the same"),
        ("dead_zone_factor = [0.0, 2.0]", "dead_zone_factor = [2.0, 0.0]", "must not exceed"),
        ("dead_zone_factor = [0.0, 2.0]", "dead_zone_factor = 2", "give [low, high]"),
        ("delay_periods = [0.05, 0.75]", "delay_periods = [0, 3]", "reaches 3"),
        ("[motor]", "[motor", "is not a rig file"),
        ("unit_per_count = 9.0e-5", "unit_per_count = 0", "unit_per_count is 0"),
        ("counts_per_turn = 4170", "counts_per_turn = 0", "counts_per_turn is 0"),
        ("rate_limit = 2.0", "rate_limit = -2.0", "[base] rate_limit is -2.0"),
        ("velocity_scale = 10.0", "velocity_scale = 0", "[pole] velocity_scale is 0"),
        ("effort_per_volt = 0.1475", "effort_per_volt = -0.1475", "counts_per_turn the other sign"),
        ("length_m = 0.395", "length_m = 0.395\ntip_mass_kg = -0.1", "tip_mass_kg is -0.1"),
        ('unit = "m"', 'unit = "m"\nrotor_inertia = -1e-6', "rotor_inertia is -1e-06"),
        ('unit = "m"', 'unit = "m"\nlength_m = 0.1', "linear.xml has no arm; leave it out"),
        ('unit = "m"', 'unit = "rad"', "[base] unit is 'rad', but the base of linear.xml"),
        ('model = "linear.xml"', 'model = "rotary.xml"', "[base] unit is 'm', but the base of rot"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, line: str, replacement: str, message: str) -> None:
    text = (RIGS_FOLDER / "sensorsini_cartpole.toml").read_text(encoding="utf-8")
    assert line in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(line, replacement, 1), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_rig(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_rig_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="no rig seesaw; known: .*qube_servo2"):
        load_rig("seesaw")


def test_a_rotary_rig_needs_the_length_of_its_arm(tmp_path: Path) -> None:
    """Without it the arm cannot move the pole, and the threshold of a reversed pole is nonsense."""
    text = (RIGS_FOLDER / "qube_servo2.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    for length in ("", "length_m = 0.0", "length_m = -0.085"):
        path.write_text(text.replace("length_m = 0.085", length, 1), encoding="utf-8")
        with pytest.raises(UserError, match="a rotary rig needs the length of its arm, .*, in m"):
            load_rig(path)


def test_a_pole_with_a_tip_has_its_moment_and_inertia() -> None:
    pole = replace(load_rig("sensorsini_cartpole").pole, mass_kg=0.3, length_m=2.0, tip_mass_kg=0.5)
    assert pole.moment_kgm == pytest.approx(0.3 * 1.0 + 0.5 * 2.0)
    assert pole.inertia_kgm2 == pytest.approx(0.3 * 4.0 / 3 + 0.5 * 4.0)


CURRENT = """[motor]
kind = "current"
supply_v = 24.0
effort_per_amp = 2.0
max_current_a = 4.0
resistance_ohm = 0.4
back_emf_v = 2.0
max_duty = 1.0

[start]"""


def with_current_motor(tmp_path: Path, old: str = "", new: str = "") -> Path:
    """The cart-pole's file with a motor whose current is controlled."""
    text = (RIGS_FOLDER / "sensorsini_cartpole.toml").read_text(encoding="utf-8")
    text = text[: text.index("[motor]")] + CURRENT + text.partition("[start]")[2]
    path = tmp_path / "brushless.toml"
    path.write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")
    return path


def test_a_current_motor_is_read(tmp_path: Path) -> None:
    motor = load_rig(with_current_motor(tmp_path)).motor
    assert isinstance(motor, CurrentMotor)
    assert (motor.full_effort, motor.damping, motor.dead_zone_a) == (8.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        ('kind = "current"', 'kind = "hydraulic"', "kind is 'hydraulic'; known: voltage, current"),
        ('kind = "current"', 'kind = "voltage"', "unknown key 'effort_per_amp'"),
        ("resistance_ohm = 0.4", "resistance_ohm = 0", "resistance_ohm is 0"),
        ("resistance_ohm = 0.4", "", "'resistance_ohm' is missing"),
        ("back_emf_v = 2.0", "back_emf_v = -2.0", "back_emf_v is -2.0"),
        ("max_current_a = 4.0", "max_current_a = -4.0", "max_current_a is -4.0"),
    ],
)
def test_a_wrong_current_motor_is_named(
    tmp_path: Path, line: str, replacement: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        load_rig(with_current_motor(tmp_path, line, replacement))
    assert message in str(caught.value)


def test_limit_switches_stand_beyond_the_limit(tmp_path: Path) -> None:
    text = (RIGS_FOLDER / "sensorsini_cartpole.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("limit = 0.198", "limit = 0.198\nlimit_switch_at = 0.21", 1))
    rig = load_rig(path)
    assert rig.firmware_constants().limit_switches == 1
    without = load_rig("sensorsini_cartpole").firmware_constants()
    assert without.limit_switches == 0 and "limit_switches" not in without.to_json()
    said = without.to_json()
    reported = RigConstants(**said | {"pole_pull": PolePull(**said["pole_pull"])})
    assert reported == without
    plant = Plant(rig)
    plant.reset(0)
    seen = []
    for position in (0.0, 0.2, 0.211, -0.209, -0.22):
        plant.data.qpos[0] = position
        seen.append(plant.limit_switch_open())
    assert seen == [False, False, True, False, True]
    path.write_text(text.replace("limit = 0.198", "limit = 0.198\nlimit_switch_at = 0.19", 1))
    with pytest.raises(UserError, match="limit_switch_at is 0.19, within the limit of 0.198"):
        load_rig(path)
