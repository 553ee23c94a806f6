"""kill -9 of the logger, at random moments: the journal always opens and lacks one tick at most.

`SPARSECTL_KILLS=1000 pytest tests/hil/test_journal_kills.py` kills it a thousand times.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import signal
import struct
import time
from pathlib import Path

import pytest

from sparsectl.hil.journal.journal import JournalWriter, read_journal
from sparsectl.hil.journal.recorder import LiveRecorder, LockstepRecorder
from sparsectl.protocol.wire import decode, encode

AnyRecorder = LiveRecorder | LockstepRecorder
KILLS = int(os.environ.get("SPARSECTL_KILLS", "100"))
MOST_S = 0.03
"""A kill comes at random within this time after the first tick."""
EVENT = {"time_us": 0, "previous": 1, "state": 2, "fault": 0}
_COUNT = struct.Struct("<Q")


def frame_of(tick: int) -> bytes:
    return encode("EVENT", tick, to_host=True, tick=tick, **EVENT)[1:-1]


def question(tick: int) -> bytes:
    return encode("TIMESYNC", tick, host_time_ns=tick)[1:-1]


def log_for_ever(path: str, reported: mmap.mmap, kind: type[AnyRecorder]) -> None:
    """Log ticks as a link does: one is asked for, comes, is recorded, and then counted."""
    recorder = kind(JournalWriter(Path(path), {"seed": 1}))
    tick = 0
    while True:
        recorder.sent(question(tick))
        recorder.settle()
        recorder.received(frame_of(tick), 0, answers=True)
        tick += 1
        reported[: _COUNT.size] = _COUNT.pack(tick)


def killed_after(seconds: float, path: Path, kind: type[AnyRecorder]) -> int:
    """Kill a logger this long after its first tick; the number of ticks that it counted."""
    reported = mmap.mmap(-1, _COUNT.size)  # shared with the child
    child = multiprocessing.get_context("fork").Process(
        target=log_for_ever, args=(str(path), reported, kind)
    )
    child.start()
    assert child.pid is not None
    while _COUNT.unpack(reported[: _COUNT.size])[0] == 0:
        assert child.is_alive()
        time.sleep(0.0005)
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    return int(_COUNT.unpack(reported[: _COUNT.size])[0])


def ticks_of(path: Path) -> list[int]:
    """The ticks whose frame the journal holds; every record decodes."""
    frames = [decode(record.payload) for record in read_journal(path).records]
    assert all(frame is not None for frame in frames)
    return [frame["tick"] for frame in frames if frame is not None and frame.to_host]


@pytest.mark.parametrize(("kind", "put_off"), [(LiveRecorder, 0), (LockstepRecorder, 1)])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_kill_9_loses_the_last_tick_at_most(
    tmp_path: Path, kind: type[AnyRecorder], put_off: int
) -> None:
    dice = random.Random(1)
    for _ in range(KILLS // 2):
        reported = killed_after(dice.uniform(0, MOST_S), tmp_path / "journal.bin", kind)
        ticks = ticks_of(tmp_path / "journal.bin")
        assert ticks == list(range(len(ticks)))
        assert reported - put_off <= len(ticks) <= reported + 1
