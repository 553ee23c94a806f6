"""A real trial with a live page, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparsectl.common.errors import UserError
from tests.hil.busy import LATE

ROOT = Path(__file__).parents[3]

PATIENCE_S = 90.0
PYTEST_MARK = "PYTEST_CURRENT_TEST"
"""NiceGUI serves otherwise where it sees this variable, which children inherit."""


@dataclass
class LiveTrial:
    """A trial in a process of its own, with its page's address."""

    process: subprocess.Popen[str]
    url: str
    journal: Path

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def end(self, code: int) -> str:
        """What it said, once it has ended with this exit code.

        Raises:
            UserError: it ended with another one, because the machine was late for it or for its
                page (`tests.hil.busy`).
        """
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        if self.process.returncode != code and LATE.search(errors):
            raise UserError(errors)
        assert self.process.returncode == code, errors
        return errors

    def page_process(self) -> int:
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in map(int, task.read_text().split()):
            if b"sparsectl.hil.live.page" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        raise AssertionError("the page has no process")


@contextmanager
def live_trial(policy: Path, out: Path, *more: str) -> Iterator[LiveTrial]:
    command = [sys.executable, "-m", "sparsectl", "trial", "--policy", str(policy)]
    command += ["--out", str(out)]
    command += ["--live", "--live-port", "0", "--no-report", "--swing-up-limit-s", "60", *more]
    command += ["--link-timeout-ticks", "10"]  # a busy machine is no fault here
    command += ["--firmware", str(policy.parent / "firmware")]  # built once
    environment = {name: value for name, value in os.environ.items() if name != PYTEST_MARK}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)
        assert found, line + process.stderr.read()
        yield LiveTrial(process, found[0], out / "journal.bin")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def until(happens: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Return whether it has happened in good time."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        if happens():
            return True
        time.sleep(0.01)
    return False
