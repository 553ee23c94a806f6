"""Memory is locked in a process of its own: the whole of the tests' own, with torch in it, would
come to 2 GB more for the rest of the run."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.timing import scheduling as priority
from sparsectl.hil.timing.scheduling import RealtimePriority, raise_priority
from sparsectl.hil.trial.trial import run_trial

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


POLICIES = """
import json, os
from sparsectl.hil.timing.scheduling import RealtimePriority

before = os.sched_getscheduler(0)
with RealtimePriority(True) as got:
    inside = os.sched_getscheduler(0)
after = os.sched_getscheduler(0)
print(json.dumps([got.to_json(), before, inside, after]))
"""


def test_the_program_gets_what_it_says_and_gives_it_back() -> None:
    said = subprocess.run([sys.executable, "-c", POLICIES], capture_output=True, check=True)
    got, before, inside, after = json.loads(said.stdout)
    assert (got["scheduling"] == "fifo") == (inside == os.SCHED_FIFO)
    assert before == after


def test_what_was_not_asked_for_changes_nothing() -> None:
    with RealtimePriority(False) as got:
        assert got.to_json() == {"asked": False, "scheduling": "ordinary", "memory_locked": False}
        assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_refusal_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    def refuse_to_load(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(priority.os, "sched_setscheduler", refuse)
    monkeypatch.setattr(priority.ctypes, "CDLL", refuse_to_load)
    with RealtimePriority(True) as got:
        assert (got.scheduling, got.memory_locked) == ("ordinary", False)
    said = capsys.readouterr().err
    assert "the system refuses SCHED_FIFO; the trial runs without" in said
    assert "the system refuses mlockall" in said


@pytest.mark.parametrize("fifo", [False, True])
def test_a_child_runs_under_what_was_told(fifo: bool) -> None:
    child = subprocess.Popen(SLEEPER)
    try:
        reported = raise_priority(child.pid, fifo)
        assert (os.sched_getscheduler(child.pid) == os.SCHED_FIFO) == (reported == "fifo")
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert (os.getpriority(os.PRIO_PROCESS, child.pid) < ours) == (reported == "nice")
    finally:
        child.kill()
        child.wait()


def test_a_trial_notes_what_it_got(short: Callable[..., TrialConfig], tmp_path: Path) -> None:
    config = short(clock="realtime", fifo=True, link_timeout_ticks=10)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        result = pool.submit(run_trial, config).result()
    noted = read_journal(tmp_path / "trial" / "journal.bin").notes("priority")
    assert [note["scheduling"] for note in noted] == [result["priority"]]
