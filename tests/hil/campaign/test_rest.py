"""A campaign on a rig that stays: its board keeps the zero, its pole comes to rest between."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsectl.commands.trial import trial
from sparsectl.common.errors import UserError
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.campaign.journalled import claim
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.drives.mover import Mover
from sparsectl.hil.drives.safety import emergency_stop
from sparsectl.hil.drives.settle import await_rest
from sparsectl.hil.journal.journal import JournalWriter, read_journal
from sparsectl.hil.journal.recorder import LiveRecorder
from sparsectl.hil.journal.trace import Sample
from sparsectl.hil.link.link import Link
from sparsectl.hil.simulation.plant_server import PlantStart, serve
from sparsectl.hil.simulation.virtual_rig import VirtualRig
from sparsectl.hil.trial.centring import centre
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import load_rig, rig_names
from sparsectl.protocol.wire import State
from tests.hil.busy import in_real_time
from tests.hil.policies import EASY_RIG, RIG


@pytest.fixture
def rig_port(timid: Path, tmp_path: Path) -> Iterator[str]:
    """The serial port of a board that stays on when a host leaves, as one of iron does."""
    constants = load_rig(RIG).firmware_constants()
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


@pytest.mark.parametrize(
    ("port", "other", "same"),
    [
        ("/dev/ttyACM0", "auto", True),
        ("odrive:/dev/ttyACM0", "odrive:/dev/ttyACM1", True),
        ("odrive:/dev/ttyACM0", "simplefoc:/dev/ttyACM0", False),
        ("qube:0", "qube:1", False),
        ("socket://one:5000", "socket://other:5000", False),
        ("/dev/ttyACM0", "virtual", False),
        ("virtual", "emulated:microbit", False),
    ],
)
def test_which_ports_may_be_the_same_rig(port: str, other: str, same: bool, tmp_path: Path) -> None:
    """A device whose cable was pulled and plugged in again may have another name; its campaign
    goes on."""
    command = TrialCommand(Path("policy"), port=port, repeat=2)
    claim(command, tmp_path / "campaign")
    with nullcontext() if same else pytest.raises(UserError, match="campaign with port"):
        claim(replace(command, port=other), tmp_path / "campaign")


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


@pytest.mark.parametrize("rig_name", [*rig_names(), str(EASY_RIG)])
@pytest.mark.parametrize("start", [0.9, -0.5])
def test_the_base_comes_back_slowly(rig_name: str, start: float) -> None:
    rig = load_rig(rig_name)
    plant, mover = Plant(rig), Mover(rig)
    plant.reset(1, randomised=True)
    plant.data.qpos[:] = start * rig.base.limit, math.pi
    plant.data.qvel[:] = 0.0
    tick = 0
    while not mover.has_arrived:
        tick += 1
        assert tick * rig.period_s < 6.0
        duty = mover.duty(tick, plant.counts()[0])
        assert abs(duty) <= 0.3 * rig.motor.max_duty
        plant.set_duty(duty)
        plant.advance(rig.period_s)
        position, _, angle_rad, _ = plant.state()
        assert abs(position) <= 1.01 * abs(start) * rig.base.limit
        assert math.cos(angle_rad) < -0.9  # the pole hangs
    assert abs(position) <= 0.03 * rig.base.limit


@contextmanager
def open_rig(policy: Path, folder: Path) -> Iterator[tuple[str, Plant]]:
    """A board that stays on, and its pendulum within reach of a hand."""
    constants = load_rig(RIG).firmware_constants()
    elf = build_firmware(policy, "host", constants, folder / "firmware")["elf"]
    plant = PlantStart(RIG, 1, randomised=False).make()
    ours, theirs = socket.socketpair()
    pendulum = threading.Thread(target=_serve, args=(plant, ours), daemon=True)
    pendulum.start()
    command = [elf, "--clock", "realtime", "--plant-fd", str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE) as board:
        theirs.close()
        assert board.stdout is not None
        port = board.stdout.readline().split()[1].decode()
        held = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            yield port, plant
        finally:
            os.close(held)
            board.terminate()
    pendulum.join()


def _serve(plant: Plant, channel: socket.socket) -> None:
    with channel:
        serve(plant, channel)


def stop(config: TrialConfig) -> None:
    """Stop the board by an ESTOP, as another host would."""
    with JournalWriter(config.out / "other.bin", {}) as journal:  # type: ignore[operator]
        with Link(config.port, 230_400, LiveRecorder(journal)) as link:
            assert emergency_stop(link)


def test_a_base_that_stands_aside_is_brought_back(timid: Path, tmp_path: Path) -> None:
    limit = load_rig(RIG).base.limit
    with open_rig(timid, tmp_path) as (port, plant):
        fields: dict[str, Any] = {"link_timeout_ticks": 10, "disturbances": 0, "report": False}
        config = TrialConfig(
            timid, port=port, swing_up_limit_s=0.2, out=tmp_path / "trial", **fields
        )
        run_trial(config)

        def centre_from_aside(_: int) -> float:
            plant.data.qpos[0] = 0.5 * limit
            return centre(config)

        assert in_real_time(centre_from_aside) == pytest.approx(0.5 * limit, abs=0.02 * limit)
        assert abs(plant.state()[0]) < 0.04 * limit  # by the same zero as before

        stop(config)  # a board in FAULT moves nothing: that takes a hand
        plant.data.qpos[0] = -0.5 * limit
        with pytest.raises(UserError, match=r"is -0\.099 m from the middle after 1 s; push it"):
            centre(replace(config, rest_limit_s=1.0))
        plant.data.qpos[0] = 0.0
        assert abs(in_real_time(lambda _: centre(config))) < 0.04 * limit
