"""Processes that a program starts end with it, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsectl.common.processes import bound

STARTS = """
import subprocess, sys
from sparsectl.common.processes import bound
child = subprocess.Popen(bound(["sleep", "600"]), start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux' setpriv is not installed")
def test_a_bound_process_ends_with_a_program_that_is_killed() -> None:
    program = subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    child = int(program.stdout.readline())
    try:
        for _ in range(3000):  # until it is what it was bound for
            if Path(f"/proc/{child}/comm").read_text().strip() == "sleep":
                break
            time.sleep(0.02)
        assert is_running(child)
        program.kill()
        program.wait()
        for _ in range(3000):
            if not is_running(child):
                return
            time.sleep(0.02)
        pytest.fail("it still runs")
    finally:
        program.stdout.close()
        if is_running(child):
            os.kill(child, signal.SIGKILL)


def test_without_setpriv_a_command_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bound(["sleep", "600"]) == ["sleep", "600"]
