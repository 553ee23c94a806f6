"""Whatever ends a trial, the journal is readable, the motor is off and no process is left."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsectl.common.errors import UserError
from sparsectl.hil.analysis.balance import CaptureWatch
from sparsectl.hil.analysis.results import assess
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.drives.drives import LockstepDrive
from sparsectl.hil.journal.journal import JournalWriter, Kind, read_journal
from sparsectl.hil.journal.trace import Sample, read_trace
from sparsectl.hil.trial.trial import run_trial
from sparsectl.protocol.wire import Fault, State, decode
from tests.hil.started_rigs import rigs_as_they_start

Short = Callable[..., TrialConfig]

TRIAL = """
    import sys
    from pathlib import Path
    from sparsectl.hil.config import TrialConfig
    from sparsectl.hil.trial.trial import run_trial

    policy, out, firmware = map(Path, sys.argv[1:4])
    patience = {"link_timeout_ticks": int(sys.argv[4]), "swing_up_limit_s": 3600}
    patience["clock"] = sys.argv[5]
    run_trial(TrialConfig(policy, out=out, firmware=firmware, report=False, **patience))
"""


LINK_TICKS = 10
"""The board's patience: as long as it may be, since the machine may be busy."""


def start_trial(
    policy: Path, out: Path, terminal: int | None = None, clock: str = "lockstep"
) -> subprocess.Popen[str]:
    """A trial in a process of its own; returns once the policy drives the motor.

    `terminal` is a pty's descriptor that becomes its controlling terminal. In lockstep no busy
    machine ends the trial before its test does.
    """
    code = "\n".join(line.strip() for line in TRIAL.splitlines())
    firmware = policy.parent / "firmware"  # built once
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(policy), str(out), str(firmware), str(LINK_TICKS), clock],
        stderr=subprocess.PIPE if terminal is None else None,
        text=True,
        preexec_fn=None if terminal is None else lambda: os.login_tty(terminal),
    )
    journal = out / "journal.bin"
    for _ in range(3000):
        if journal.is_file() and assess(read_journal(journal)).ticks > 5:
            return child
        if child.poll() is not None:
            break
        time.sleep(0.02)
    child.kill()
    raise AssertionError(f"the trial did not begin: {child.communicate()[1]}")


def children_of(process: int) -> list[int]:
    task = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in task.read_text().split()]


def is_running(process: int) -> bool:
    """Return whether it runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def all_end(processes: list[int]) -> bool:
    for _ in range(500):
        if not any(map(is_running, processes)):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_an_interrupt_stops_the_motor(timid: Path, tmp_path: Path, number: signal.Signals) -> None:
    child = start_trial(timid, tmp_path / "trial")
    helpers = children_of(child.pid)
    assert len(helpers) >= 2  # firmware and plant
    child.send_signal(number)
    _, complaint = child.communicate(timeout=30)
    assert child.returncode == 128 + number
    assert f"trial ended by {number.name}: motor off" in complaint
    journal = read_journal(tmp_path / "trial" / "journal.bin")
    assert journal.dropped_bytes == 0
    result = assess(journal)
    assert (result.final_state, result.fault) == ("FAULT", "ESTOP")
    assert not result.balanced
    assert json.loads((tmp_path / "trial" / "summary.json").read_text())["trial"]["ticks"] > 5
    assert all_end(helpers)


@pytest.mark.parametrize("key", [b" ", b"\r"])
def test_a_key_stops_the_motor(timid: Path, tmp_path: Path, key: bytes) -> None:
    ours, theirs = pty.openpty()
    child = start_trial(timid, tmp_path / "trial", theirs)
    os.close(theirs)
    os.write(ours, b"x")  # no other key does
    os.write(ours, key)
    shown = b""
    while b"motor off" not in shown:
        shown += os.read(ours, 4096)
    assert child.wait(timeout=30) == 130
    os.close(ours)
    assert b"space or enter stops the motor" in shown
    assert b"trial ended by the e-stop key: motor off" in shown
    result = assess(read_journal(tmp_path / "trial" / "journal.bin"))
    assert (result.final_state, result.fault) == ("FAULT", "ESTOP")


def test_a_stopped_host_stops_the_motor(timid: Path, tmp_path: Path) -> None:
    """`LINK_TICKS` after the last that the host answered, the board has faulted."""
    child = start_trial(timid, tmp_path / "trial", clock="realtime")
    child.send_signal(signal.SIGSTOP)
    time.sleep(2.0)
    child.send_signal(signal.SIGCONT)
    _, reported = child.communicate(timeout=60)
    assert re.search(
        r"trial ended: this program itself did not run for [2-9]\.\d s .*; the board received "
        r"nothing and stopped the trial: LINK_LOST",
        reported,
    ), reported
    result = assess(read_journal(tmp_path / "trial" / "journal.bin"))
    assert (result.final_state, result.fault) == ("FAULT", "LINK_LOST")
    frames = [
        (record.kind, frame)
        for record in read_journal(tmp_path / "trial" / "journal.bin").records
        if record.kind in (Kind.FROM_DEVICE, Kind.TO_DEVICE)
        and (frame := decode(record.payload)) is not None
    ]
    faulted = next(i for i, (_, f) in enumerate(frames) if f.name == "EVENT" and f["fault"])
    assert frames[faulted][1]["fault"] == Fault.LINK_LOST
    heard = max(
        frame["receive_time_us"]
        for _, frame in frames[:faulted]
        if frame.name == "TIMESYNC" and frame.to_host
    )
    driven = [
        frame["tick"]
        for _, frame in frames
        if frame.name == "TICK"
        and frame["sample_time_us"] > heard
        and frame["state"] == State.ACTIVE
    ]
    assert len(driven) < LINK_TICKS  # the last is the one that faults


def test_an_interrupt_of_a_stopped_host_is_told_after_what_the_board_did(
    timid: Path, tmp_path: Path
) -> None:
    """Stopped, interrupted and continued: by then the board had ended the trial by itself."""
    child = start_trial(timid, tmp_path / "trial", clock="realtime")
    child.send_signal(signal.SIGSTOP)
    time.sleep(2.0)
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGCONT)
    _, told = child.communicate(timeout=60)
    what = (
        r"this program itself did not run for [2-9]\.\d s .*; the board received nothing and "
        r"stopped the trial: LINK_LOST; after that, SIGINT; motor off"
    )
    assert re.search(rf"trial ended: {what}, journal ", told), told
    assert child.returncode == 128 + signal.SIGINT
    result = assess(read_journal(tmp_path / "trial" / "journal.bin"))
    assert (result.final_state, result.fault) == ("FAULT", "LINK_LOST")
    assert re.fullmatch(what, result.ended), result.ended


def test_kill_9_of_the_host_loses_no_tick_and_leaves_no_process(
    timid: Path, tmp_path: Path
) -> None:
    child = start_trial(timid, tmp_path / "trial")
    helpers = children_of(child.pid)
    child.kill()
    child.communicate()
    journal = read_journal(tmp_path / "trial" / "journal.bin")
    ticks = read_trace(journal).tick
    assert ticks.size > 5 and (ticks[1:] > ticks[:-1]).all()
    assert assess(journal).ended == "the journal stops in the middle of the trial"
    assert all_end(helpers)


def test_a_vanished_firmware_closes_the_journal(
    short: Short, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The firmware is killed once it drives the motor."""
    started = rigs_as_they_start(monkeypatch)
    take = CaptureWatch.take

    def kill_at_ten(watch: CaptureWatch, time_us: int, angle_rad: float) -> None:
        take(watch, time_us, angle_rad)
        seen.append(time_us)
        if len(seen) == 10:
            os.kill(started[0].firmware_process.pid, signal.SIGKILL)

    seen: list[int] = []
    monkeypatch.setattr(CaptureWatch, "take", kill_at_ten)
    with pytest.raises(UserError, match=r"vanished .*; check cable .*\(the journal") as caught:
        run_trial(short())
    assert "\n" not in str(caught.value)
    journal = read_journal(tmp_path / "trial" / "journal.bin")
    assert journal.dropped_bytes == 0
    result = assess(journal)
    assert result.ticks >= 10 and "vanished" in result.ended
    assert json.loads((tmp_path / "trial" / "summary.json").read_text())["trial"] == {
        **result.to_json(),
        "journal": str(tmp_path / "trial" / "journal.bin"),
        "report": None,
    }


def test_a_board_that_falls_silent_is_given_up(
    short: Short, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The firmware is stopped, not killed: the port stays, but nothing comes."""
    started = rigs_as_they_start(monkeypatch)
    note = JournalWriter.note

    def stop_at_swing_up(
        journal: JournalWriter, name: str, host_ns: int | None = None, **fields: Any
    ) -> None:
        note(journal, name, host_ns, **fields)
        if fields.get("phase") == "swing up":
            os.kill(started[0].firmware_process.pid, signal.SIGSTOP)

    monkeypatch.setattr(JournalWriter, "note", stop_at_swing_up)
    with pytest.raises(UserError, match="has sent nothing for 1.* s; check cable"):
        run_trial(short(clock="realtime"))
    assert read_journal(tmp_path / "trial" / "journal.bin").dropped_bytes == 0


def test_a_board_that_faults_ends_the_trial(short: Short, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step as long as the board's patience: its own watch stops the motor."""
    advance = LockstepDrive.advance

    def step_too_far(drive: LockstepDrive) -> list[Sample]:
        samples = advance(drive)
        if samples and samples[-1].state == State.ACTIVE:
            drive._stride = 40
        return samples

    monkeypatch.setattr(LockstepDrive, "advance", step_too_far)
    result = run_trial(short())
    assert (
        "stopped the trial: LINK_LOST (it received nothing from this program for 60 ms"
        in result["ended"]
    )
    assert (result["final_state"], result["fault"]) == (State.FAULT.name, "LINK_LOST")
