"""A simulated drive in a process of its own, as a real one is: what its host computes in the test's
process does not hold the drive up.

    python -m tests.hil.actuators.drive_process KIND RIG

prints the port; each line on its standard input is answered by the drive's state, and it ends with
the input.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sparsectl.plants.rig import load_rig
from tests.hil.actuators.odrive_drive import SimulatedOdrive
from tests.hil.actuators.simplefoc_drive import SimulatedSimpleFoc

ROOT = Path(__file__).resolve().parents[3]
KINDS = {"odrive": SimulatedOdrive, "simplefoc": SimulatedSimpleFoc}
LATE_S = 5.0
"""The watchdog bites that much later: the machine may hold every process up for longer than 0.1 s,
and what is tested through this drive is something else."""


class DriveProcess:
    """A context manager; `port` is the path of the drive's serial line."""

    def __init__(self, kind: str, rig: Path) -> None:
        self._command = [sys.executable, "-m", "tests.hil.actuators.drive_process", kind, str(rig)]

    def __enter__(self) -> DriveProcess:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.port = self._answer()
        return self

    def __exit__(self, *reason: object) -> None:
        self._process.communicate(timeout=20)

    @property
    def state(self) -> int:
        """What the drive says now: `IDLE` or `CLOSED_LOOP`."""
        assert self._process.stdin is not None
        self._process.stdin.write("state\n")
        self._process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, "the simulated drive has ended"
        return answer


def main(kind: str, rig: str) -> None:
    with KINDS[kind](load_rig(Path(rig)), late_s=LATE_S) as drive:
        print(drive.port, flush=True)
        for _ in sys.stdin:
            drive.look()
            print(drive.state, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
