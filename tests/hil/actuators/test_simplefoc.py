"""A brushless rig behind SimpleFOC: its lines, the sketch's watchdog, and a check through it."""

from __future__ import annotations

import socket
import subprocess

import pytest

from sparsectl.common.errors import UserError
from sparsectl.hil.actuators.server import ActuatorStart
from sparsectl.hil.actuators.simplefoc import SimpleFoc
from sparsectl.hil.simulation.plant_server import REQUEST
from sparsectl.plants.rig import load_rig
from tests.hil.actuators.odrive_drive import CLOSED_LOOP, IDLE
from tests.hil.actuators.simplefoc_drive import SimulatedSimpleFoc
from tests.hil.actuators.test_odrive import RIG, Hand, until
from tests.hil.policies import EASY_RIG


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr("sparsectl.hil.actuators.ascii_line.time.monotonic", hand)
    monkeypatch.setattr("sparsectl.protocol.serial_line.time.monotonic", hand)
    return hand


def test_a_duty_is_a_current_and_the_answer_has_the_counts(clock: Hand) -> None:
    with SimulatedSimpleFoc(load_rig(RIG), clock) as drive:
        foc = SimpleFoc(drive.port, load_rig(RIG))
        assert drive.state == CLOSED_LOOP
        assert drive.heard[:6] == ["W", "@0", "MC0", "MT2", "ME1", "P0.0000"]
        foc.set_duty(0.5)
        assert drive.heard[-1] == f"P{0.5 * drive.most_a:.4f}"
        clock.now_s += 0.05
        foc.set_duty(-1.0)
        base, pole = foc.counts()
        assert base > 20 and pole > 0 and (base, pole) == drive.plant.counts()
        foc.close()
        until(lambda: drive.state == IDLE and drive.torque_nm == 0.0)


def test_a_drive_that_nobody_feeds_is_disabled_and_says_so(clock: Hand) -> None:
    with SimulatedSimpleFoc(load_rig(RIG), clock) as drive:
        foc = SimpleFoc(drive.port, load_rig(RIG))
        for _ in range(20):
            foc.set_duty(0.01)
            clock.now_s += 0.09
        assert drive.state == CLOSED_LOOP
        clock.now_s += 0.11
        with pytest.raises(UserError, match="SimpleFOC on .* has disabled its motor: its watchdog"):
            foc.set_duty(0.01)
        assert drive.state == IDLE
        foc.close()


@pytest.mark.parametrize("watchdog_s", [0.0, 0.5])
def test_a_sketch_without_its_watchdog_is_not_driven(watchdog_s: float) -> None:
    with SimulatedSimpleFoc(load_rig(RIG), watchdog_s=watchdog_s) as drive:
        with pytest.raises(UserError, match=f"its watchdog waits {1000 * watchdog_s:g} ms; give"):
            SimpleFoc(drive.port, load_rig(RIG))
        until(lambda: drive.heard[-1] == "ME0")
        assert "ME1" not in drive.heard


def test_what_cannot_be_driven_is_refused_in_one_line(clock: Hand) -> None:
    rig = load_rig(RIG)
    with SimulatedSimpleFoc(rig, clock) as drive:
        drive.is_broken = True
        asked = drive.clock
        drive.clock = lambda: (setattr(clock, "now_s", clock.now_s + 0.01), asked())[1]
        with pytest.raises(UserError, match="does not enable its motor; see what initFOC"):
            SimpleFoc(drive.port, rig)
    with pytest.raises(UserError, match="the speed behind @ is a whole number"):
        SimpleFoc("/dev/ttyNONE@fast", rig)
    with pytest.raises(UserError, match='SimpleFOC needs .motor. kind = "current"'):
        SimpleFoc("/dev/ttyNONE", load_rig(EASY_RIG))


def test_the_motor_is_off_when_the_process_that_feeds_it_dies() -> None:
    with SimulatedSimpleFoc(load_rig(RIG)) as drive:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            server = subprocess.Popen(
                ActuatorStart("simplefoc", drive.port, str(RIG)).command(theirs.fileno()),
                stdout=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
            )
            try:
                assert server.stdout is not None and server.stdout.readline() == b"READY\n"
                ours.sendall(REQUEST.pack(0, 0.05))
                until(lambda: drive.torque_nm != 0.0)
            finally:
                server.kill()
                server.communicate()
            until(lambda: (drive.look(), drive.state == IDLE)[1])
