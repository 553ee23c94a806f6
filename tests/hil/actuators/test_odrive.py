"""A brushless rig: the ODrive's protocol, its watchdog, and a trial through it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from sparsectl.commands.trial import trial
from sparsectl.common.errors import UserError
from sparsectl.hil.actuators.odrive import Odrive
from sparsectl.hil.actuators.server import ActuatorStart
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.simulation.plant_server import REQUEST
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.rig import load_rig
from tests.hil.actuators.drive_process import KINDS, DriveProcess
from tests.hil.actuators.odrive_drive import (
    CLOSED_LOOP,
    IDLE,
    WATCHDOG_TIMER_EXPIRED,
    SimulatedOdrive,
)
from tests.hil.busy import in_real_time
from tests.hil.policies import EASY_RIG

RIG = Path(__file__).parent / "brushless_rig.toml"


class Hand:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_policy_for_the_easy_rig_balances_a_brushless_one(easy: Path, tmp_path: Path) -> None:
    """The motor's model: as strong, and its current follows whatever the speed."""
    result = run_trial(
        TrialConfig(
            easy,
            rig=str(RIG),
            clock="lockstep",
            seconds=2.0,
            disturbances=0,
            out=tmp_path / "trial",
            report=False,
        )
    )
    assert (result["ended"], result["balanced"], result["fault"]) == ("completed", True, "NONE")


def test_a_duty_is_a_torque_and_counts_are_the_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand()
    monkeypatch.setattr("sparsectl.hil.actuators.ascii_line.time.monotonic", clock)
    monkeypatch.setattr("sparsectl.protocol.serial_line.time.monotonic", clock)
    with SimulatedOdrive(load_rig(RIG), clock) as drive:
        odrive = Odrive(drive.port, load_rig(RIG))
        assert drive.state == CLOSED_LOOP and "sc" in drive.heard and "u 0" in drive.heard
        assert odrive.counts() == drive.plant.counts()
        odrive.set_duty(0.5)
        until(lambda: drive.torque_nm == pytest.approx(0.5 * 4.0 * 0.03))
        clock.now_s += 0.05
        base, pole = odrive.counts()
        assert base > 20 and pole > 0 and (base, pole) == drive.plant.counts()
        odrive.set_duty(-1.0)
        clock.now_s += 0.001
        assert odrive.counts() == (base, pole), "a tick asks once"
        odrive.close()
        until(lambda: drive.state == IDLE and drive.torque_nm == 0.0)


def test_a_drive_that_nobody_feeds_has_no_torque_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Hand()
    monkeypatch.setattr("sparsectl.hil.actuators.ascii_line.time.monotonic", clock)
    monkeypatch.setattr("sparsectl.protocol.serial_line.time.monotonic", clock)
    with SimulatedOdrive(load_rig(RIG), clock) as drive:
        odrive = Odrive(drive.port, load_rig(RIG))
        for _ in range(20):  # two seconds, fed by torques alone
            odrive.set_duty(0.01)
            odrive.counts()  # answered in turn: the drive has the torque before the clock moves on
            clock.now_s += 0.09
        assert drive.state == CLOSED_LOOP
        clock.now_s += 0.11
        with pytest.raises(UserError, match="has stopped by itself: axis0.error is 2048"):
            odrive.counts()
        assert (drive.state, drive.torque_nm) == (IDLE, 0.0)
        odrive.close()


@pytest.mark.parametrize("watchdog_s", [0.0, 0.5])
def test_a_drive_whose_watchdog_would_come_too_late_is_not_driven(watchdog_s: float) -> None:
    with SimulatedOdrive(load_rig(RIG), watchdog_s=watchdog_s) as drive:
        with pytest.raises(
            UserError, match="keep driving without the host.*watchdog_timeout = 0.1"
        ):
            Odrive(drive.port, load_rig(RIG))
        until(lambda: "w axis0.requested_state 1" in drive.heard)
        assert drive.torque_nm == 0.0 and CLOSED_LOOP != drive.state


def test_what_is_no_odrive_is_refused_in_one_line(tmp_path: Path) -> None:
    rig = load_rig(RIG)
    with SimulatedOdrive(rig) as drive:
        drive.is_mute = True
        with pytest.raises(UserError, match="nothing that speaks ODrive's ASCII protocol answers"):
            Odrive(drive.port, rig)
    with pytest.raises(UserError, match="no port /dev/ttyNONE"):
        Odrive("/dev/ttyNONE", rig)
    with pytest.raises(UserError, match="the speed behind @ is a whole number"):
        Odrive("/dev/ttyNONE@fast", rig)
    with pytest.raises(UserError, match='needs .motor. kind = "current" and torque_per_amp'):
        Odrive("/dev/ttyNONE", load_rig(EASY_RIG))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_the_motor_is_off_when_the_process_that_feeds_it_dies(number: signal.Signals) -> None:
    """Killed or stopped, the watchdog; asked to end, the process itself."""
    with SimulatedOdrive(load_rig(RIG)) as drive:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            server = subprocess.Popen(
                ActuatorStart("odrive", drive.port, str(RIG)).command(theirs.fileno()),
                stdout=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
            )
            try:
                assert server.stdout is not None and server.stdout.readline() == b"READY\n"
                ours.sendall(REQUEST.pack(0, 0.05))
                until(lambda: drive.torque_nm != 0.0)
                os.kill(server.pid, number)
                until(lambda: (drive.look(), drive.torque_nm == 0.0)[1])
                assert drive.state == IDLE
                expired = drive.error == WATCHDOG_TIMER_EXPIRED
                assert expired or number == signal.SIGTERM
            finally:
                server.kill()
                server.communicate()


@pytest.mark.parametrize("kind", KINDS)
def test_the_wiring_check_runs_through_the_drive(easy: Path, tmp_path: Path, kind: str) -> None:
    """All of it in real time: firmware, its process's socket, the drive's line. The hinge has more
    friction than the rig's, so that nobody waits for the pole."""
    source, rig = RIG.read_text(), tmp_path / "rig.toml"
    stiff = re.sub(r"(?m)^viscous_friction = 5\.0e-5", "viscous_friction = 2.0e-3", source)
    assert stiff != source
    rig.write_text(stiff)

    def check(number: int) -> dict[str, Any]:
        with DriveProcess(kind, rig) as drive:
            result = trial(
                TrialCommand(
                    easy,
                    rig=str(rig),
                    port=f"{kind}:{drive.port}",
                    check_wiring=True,
                    link_timeout_ticks=10,
                    out=tmp_path / f"check{number}",
                )
            )
            until(lambda: drive.state == IDLE)  # by request, or by its watchdog
        return result

    result = in_real_time(check)
    assert (result["motor"], result["base_encoder"], result["pole_encoder"]) == (
        *("drives", "right", "right"),
    )


def test_only_a_rig_of_iron_is_driven(easy: Path, tmp_path: Path) -> None:
    config = TrialConfig(
        easy, rig=str(RIG), port="odrive:/dev/ttyNONE", mode="pil", out=tmp_path / "t", report=False
    )
    with pytest.raises(UserError, match="--mode is pil, which simulates the pendulum"):
        run_trial(config)


def until(is_so: object, patience_s: float = 20.0) -> None:
    """Wait for what another thread or process is about to do."""
    assert callable(is_so)
    deadline_s = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it never came about"
        time.sleep(0.01)
