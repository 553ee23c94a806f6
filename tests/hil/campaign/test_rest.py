"""A campaign on a rig that stays: its board keeps the zero, its pole comes to rest between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import UserError
from firmware_host.build import build_firmware
from firmware_host.rig_constants import RigConstants
from firmware_host.wire import State
from hil.campaign.command import trial
from hil.campaign.config import TrialCommand
from hil.journal import read_journal
from hil.plant_server import PlantStart
from hil.rest import await_rest
from hil.samples import Sample
from hil.virtual_rig import VirtualRig
from tests.hil.policies import RIG
from training.plants.rig import load_rig


@pytest.fixture
def rig_port(timid: Path, tmp_path: Path) -> Iterator[str]:
    """The serial port of a board that stays on when a host leaves, as one of iron does."""
    constants = RigConstants(**load_rig(RIG).firmware_constants())
    built = build_firmware(timid, "host", constants, tmp_path / "firmware")
    start = PlantStart(RIG, 1, randomised=False)
    with VirtualRig(Path(built["elf"]), "realtime", start) as rig:
        held = os.open(rig.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        yield rig.port
        os.close(held)


def phases(folder: Path, seed: int) -> list[str]:
    journal = read_journal(folder / "trials" / f"{seed:05d}-A" / "journal.bin")
    return [note["phase"] for note in journal.notes("phase")]


def test_the_zero_is_kept_from_trial_to_trial(rig_port: str, timid: Path, tmp_path: Path) -> None:
    command = TrialCommand(
        timid,
        port=rig_port,
        repeat=2,
        swing_up_limit_s=0.5,
        disturbances=0,
        link_timeout_ticks=10,
        out=tmp_path / "campaign",
    )
    result = trial(command)
    assert result["policies"]["A"]["trials"] == 2
    assert "home" in phases(tmp_path / "campaign", 0)
    second = phases(tmp_path / "campaign", 1)
    assert "rest" in second and "home" not in second and "arm" in second


class Swinging:
    """Ticks of a pole that swings for `moving_s` and then hangs."""

    def __init__(self, moving_s: float) -> None:
        self.moving_s, self.tick = moving_s, 0

    def advance(self) -> list[Sample]:
        self.tick += 1
        time_s = 0.02 * self.tick
        count = (self.tick % 50) * 7 if time_s < self.moving_s else self.tick % 2
        time_us = round(time_s * 1e6)
        return [Sample(self.tick, time_us, 0, 5, count, 0.0, 0.0, 0, 0, 0, int(State.HOMED), 0, 0)]


def test_rest_is_a_second_without_motion() -> None:
    sample = await_rest(Swinging(4.0), limit_s=60)
    assert 4.9e6 <= sample.time_us <= 5.2e6


def test_a_pole_that_never_rests_is_told() -> None:
    with pytest.raises(UserError, match="not at rest after 5 s; hold the pole still"):
        await_rest(Swinging(1e9), limit_s=5.0)
