"""Each way in which a trial ends has its line and its exit code, as `--help` says."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.common.files import write_json
from sparsectl.hil.analysis.results import assess
from sparsectl.hil.config import ReportConfig, TrialConfig
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.report.report import write_report
from sparsectl.hil.trial.trial import run_trial
from tests.hil.test_interruption import start_trial

ROOT = Path(__file__).resolve().parents[2]
Short = Callable[..., TrialConfig]


def trial(policy: Path, firmware: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`sparsectl trial` as a person calls it."""
    words = ["trial", "--policy", str(policy), "--firmware", str(firmware), "--out", str(out)]
    words += ["--no-report", "--swing-up-limit-s", "1", "--seconds", "1", *more]
    return subprocess.run(
        [sys.executable, "-m", "sparsectl", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_help_tells_the_exit_codes() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "sparsectl", "--help"], capture_output=True, text=True
    ).stdout
    said = " ".join(shown.split())
    assert "Exit codes: 0 done; 2 your mistake" in said
    assert "3 a trial that ended in a fault of the board" in said
    assert "4 the link to the board or to the live page was lost" in said
    assert "130 stopped" in said


def test_done_and_a_fault(timid: Path, firmware: Path, tmp_path: Path) -> None:
    done = trial(timid, firmware, tmp_path / "done", "--clock", "lockstep")
    assert done.returncode == 0, done.stderr
    fault = ("--clock", "lockstep", "--fault", "whirled_pole@0.3")
    ended = trial(timid, firmware, tmp_path / "fault", *fault)
    assert ended.returncode == 3
    assert last_line(ended.stderr).startswith("trial ended: the board stopped the trial: POLE_RATE")
    assert (tmp_path / "fault" / "summary.json").is_file()


def test_a_board_that_says_nothing(timid: Path, firmware: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        lost = trial(timid, firmware, tmp_path / "lost", "--port", os.ttyname(theirs))
    finally:
        os.close(ours)
        os.close(theirs)
    assert lost.returncode == 4
    assert "does not answer HELLO" in last_line(lost.stderr)
    assert "Traceback" not in lost.stderr and not (tmp_path / "lost").exists()


@pytest.mark.parametrize("port", [80_000, -1])
def test_a_live_port_that_cannot_be(short: Short, port: int) -> None:
    with pytest.raises(UserError, match=f"--live-port is {port}; give 0 to 65535"):
        run_trial(short(live=True, live_port=port))


def test_a_report_into_a_folder(tmp_path: Path) -> None:
    write_json(tmp_path / "run" / "summary.json", {})
    with pytest.raises(UserError, match="--out is .*, which is a folder; name a file"):
        write_report(ReportConfig(tmp_path / "run", out=tmp_path))


def test_a_terminal_that_is_closed_stops_the_motor(timid: Path, tmp_path: Path) -> None:
    """SIGHUP: nothing can be printed any more, and the stop runs to its end."""
    ours, theirs = pty.openpty()
    child = start_trial(timid, tmp_path / "trial", theirs)
    os.close(theirs)
    os.close(ours)
    assert child.wait(timeout=30) == 128 + signal.SIGHUP
    result = assess(read_journal(tmp_path / "trial" / "journal.bin"))
    assert (result.final_state, result.fault) == ("FAULT", "ESTOP")
    assert "SIGHUP" in result.ended


def test_two_trials_into_one_folder(short: Short, timid: Path, tmp_path: Path) -> None:
    child = start_trial(timid, tmp_path / "trial")
    before = {path.name for path in (tmp_path / "trial").iterdir()}
    with pytest.raises(UserError, match="another sparsectl is writing to .*another folder with"):
        run_trial(short())
    assert {path.name for path in (tmp_path / "trial").iterdir()} == before
    child.kill()
    child.communicate()
    assert read_journal(tmp_path / "trial" / "journal.bin").dropped_bytes == 0
    deadline_s = time.monotonic() + 30
    while True:  # the lock is gone with the killed process
        try:
            run_trial(short())
            return
        except UserError as error:
            assert "another sparsectl" in str(error) and time.monotonic() < deadline_s
            time.sleep(0.05)
