"""A disk that takes no more: the motor stops first, and one line says why."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.analysis.results import assess
from sparsectl.hil.drives.safety import emergency_stop
from sparsectl.hil.journal.journal import JournalWriter, read_journal
from sparsectl.hil.journal.recorder import LiveRecorder
from sparsectl.hil.link.link import Link
from sparsectl.hil.link.session import Session
from sparsectl.hil.simulation.plant_server import PlantStart
from sparsectl.hil.simulation.virtual_rig import VirtualRig
from sparsectl.plants.rig import load_rig
from sparsectl.protocol.wire import Fault, State
from tests.hil.busy import in_real_time
from tests.hil.policies import RIG

ROOT = Path(__file__).resolve().parents[2]
HEADER = {"format": "sparsectl.journal", "version": 1}


@pytest.fixture
def board(timid: Path, firmware: Path) -> Iterator[VirtualRig]:
    """A virtual rig that outlives the trial, so that it can be asked what reached it."""
    built = build_firmware(timid, "host", load_rig(RIG).firmware_constants(), firmware)
    with VirtualRig(Path(built["elf"]), "realtime", PlantStart(RIG, 0, False, None)) as rig:
        kept_open = os.open(rig.port, os.O_RDWR | os.O_NOCTTY)  # else it ends with its first host
        yield rig
        os.close(kept_open)


def asked(port: str, folder: Path) -> dict[str, object]:
    """What the board says of itself."""
    with (
        JournalWriter(folder / "asked.bin", HEADER) as journal,
        Link(port, 230_400, LiveRecorder(journal), was_used=True) as link,
    ):
        return Session(link, journal).hello()


@pytest.mark.parametrize("ends", ["by the disk", "by a key"])
def test_a_full_disk_stops_the_motor_in_one_line(
    timid: Path, tmp_path: Path, board: VirtualRig, ends: str
) -> None:

    def run(number: int) -> tuple[int, str, Path]:
        out = tmp_path / f"trial{number}"
        words = ["--policy", str(timid), "--port", board.port, "--out", str(out), "--no-report"]
        words += ["--link-timeout-ticks", "10", "--swing-up-limit-s", "60"]
        child = subprocess.Popen(
            [sys.executable, "-m", "sparsectl", "trial", *words],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        journal = out / "journal.bin"
        deadline_s = time.monotonic() + 60
        while not (journal.is_file() and assess(read_journal(journal)).ticks > 5):
            assert time.monotonic() < deadline_s
            if child.poll() is not None:
                raise UserError(child.communicate()[1])
            time.sleep(0.02)
        if ends == "by a key":  # at the very moment when the disk is full
            child.send_signal(signal.SIGINT)
        full = journal.stat().st_size + (0 if ends == "by a key" else 3_000)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (full, full))
        _, reported = child.communicate(timeout=60)
        if "LINK_LOST" in reported:  # the machine was late before the disk was full
            raise UserError(reported)
        return child.returncode, reported, journal

    status, reported, journal = in_real_time(run)
    hello = asked(board.port, tmp_path)
    assert (hello["state"], hello["fault"]) == (State.FAULT, Fault.ESTOP), reported
    assert "Traceback" not in reported
    last = reported.strip().splitlines()[-1]
    if ends == "by the disk":
        assert status == 2
        assert "cannot write the journal" in last and "free disk space; motor off" in last
    else:
        assert status in (2, 130) and "motor off" in last
    assert read_journal(journal).dropped_bytes == 0


def test_a_stop_leaves_while_the_disk_hangs(
    tmp_path: Path, board: VirtualRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading thread waits in a write that never ends, and still the board hears ESTOP."""
    hang, hanging = threading.Event(), threading.Event()
    received = LiveRecorder.received

    def hangs(self: LiveRecorder, packet: bytes, host_ns: int, answers: bool) -> None:
        if hang.is_set():
            hanging.set()
            while hang.is_set():
                time.sleep(0.01)
        received(self, packet, host_ns, answers)

    monkeypatch.setattr(LiveRecorder, "received", hangs)
    with (
        JournalWriter(tmp_path / "journal.bin", HEADER) as journal,
        Link(board.port, 230_400, LiveRecorder(journal)) as link,
    ):
        Session(link, journal).hello()
        hang.set()
        link.send_timesync()  # its answer hangs the thread
        assert hanging.wait(10)
        assert not emergency_stop(link)  # nobody hears the answer
        hang.clear()
        hello = Session(link, journal).hello()
    assert (hello["state"], hello["fault"]) == (State.FAULT, Fault.ESTOP)
    sent = [frame.name for _, frame in read_journal(tmp_path / "journal.bin").frames]
    assert sent.count("ESTOP") == 3  # and it is journalled all the same


def test_a_part_of_a_record_is_taken_back(tmp_path: Path) -> None:
    """In a child, since the limit holds for a whole process."""
    path = tmp_path / "journal.bin"
    code = f"""
import os
import resource
from pathlib import Path
from sparsectl.hil.journal.journal import JournalLost, JournalWriter, Kind
journal = JournalWriter(Path({str(path)!r}), {HEADER!r})
size = journal.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
try:
    journal.write(Kind.GARBAGE, bytes(200))
    raise SystemExit("it was written")
except JournalLost:
    assert journal.path.stat().st_size == size
journal.note("small", None)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
journal.note("room again", None)
journal.close()
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    journal = read_journal(path)
    assert journal.dropped_bytes == 0
    assert [record.json()["note"] for record in journal.records] == ["small", "room again"]
