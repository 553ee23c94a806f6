"""Rig files: what comes with the project is whole, and a wrong file gets one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from training.plants.rig import RIGS_FOLDER, load_rig, rig_names


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
        ("dead_zone_factor = [0.0, 2.0]", "dead_zone_factor = [2.0, 0.0]", "must not exceed"),
        ("dead_zone_factor = [0.0, 2.0]", "dead_zone_factor = 2", "give [low, high]"),
        ("delay_periods = [0.05, 0.75]", "delay_periods = [0, 3]", "reaches 3"),
        ("[motor]", "[motor", "is not a rig file"),
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
