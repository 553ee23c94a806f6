"""The greatest memory that each test file takes: a plugin of pytest, which conftest.py has where
SPARSECTL_PEAK_MEMORY names the JSON file to write.

    SPARSECTL_PEAK_MEMORY=benchmarks/results/test_memory.json make test
    python benchmarks/tables.py

Linux keeps the greatest resident size of a process (VmHWM in proc_pid_status(5)), and forgets it
where 5 is written to its clear_refs. Of the processes that a test starts it is read ten times a
second, so that what lives for less is left out; `getrusage` would begin with the size of the
process that they were forked from.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from sparsectl.common.files import read_json, write_json
from sparsectl.common.provenance import provenance

EVERY_SECONDS = 0.1
OWN, CHILDREN, TOGETHER = "own_mb", "greatest_child_mb", "together_mb"
"""The peak of the process that runs the tests, which begins with what earlier files left in it; of
the greatest process that a test started; and the most that all were seen to hold at once."""


class PeakMemory:
    """Notes the peaks of each file, in this process; xdist's first one writes what all noted."""

    def __init__(self, config: pytest.Config, record: Path) -> None:
        worker = getattr(config, "workerinput", {}).get("workerid", "")
        self._root, self._record, self._is_worker = config.rootpath, record, bool(worker)
        self._noted = record.with_name(f"{record.name}.{worker}") if worker else record
        self._files: dict[str, dict[str, int]] = {}
        self.now: dict[str, int] = {}
        self._ended = Event()
        self._watch = Thread(target=self._look, name="peak memory", daemon=True)

    def pytest_sessionstart(self) -> None:
        for noted in [] if self._is_worker else self._parts():
            noted.unlink()
        self._watch.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        name = item.path.relative_to(self._root).as_posix()
        self.now = self._files.setdefault(name, dict.fromkeys((OWN, CHILDREN, TOGETHER), 0))
        Path("/proc/self/clear_refs").write_text("5")
        result = yield
        self._note()
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Workers have ended when the first process comes here."""
        self._ended.set()
        self._watch.join()
        parts = [] if self._is_worker else self._parts()
        for each in [self._files, *(read_json(part) for part in parts)]:
            for name, peaks in each.items():
                known = self._files.setdefault(name, peaks)
                self._files[name] = {kind: max(known[kind], mb) for kind, mb in peaks.items()}
        for part in parts:
            part.unlink()
        files = dict(sorted(self._files.items()))
        if self._is_worker:
            write_json(self._noted, files)
        elif files:
            write_json(self._record, {"files": files, "provenance": provenance()})

    def _parts(self) -> list[Path]:
        return sorted(self._record.parent.glob(f"{self._record.name}.gw*"))

    def _look(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self._note()

    def _note(self) -> None:
        """Take in what the processes hold, and what the greatest have held."""
        now, peaks = self.now, dict[str, int]()
        own_peak, own = _sizes(os.getpid())
        children = [_sizes(pid) for pid in _descendants(os.getpid())]
        peaks[OWN] = own_peak
        peaks[CHILDREN] = max((peak for peak, _ in children), default=0)
        peaks[TOGETHER] = own + sum(size for _, size in children)
        for kind in now:
            now[kind] = max(now[kind], peaks[kind])


def _descendants(pid: int) -> Iterator[int]:
    """Of a process those that it started, and theirs."""
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            for child in map(int, tasks.read_text().split()):
                yield child
                yield from _descendants(child)


def _sizes(pid: int) -> tuple[int, int]:
    """What a process has held at most and what it holds, in MB of 10^6 bytes; 0: it ended."""
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmHWM", "VmRSS"):
                found[name] = int(value.split()[0]) * 1024 // 1_000_000
    return found.get("VmHWM", 0), found.get("VmRSS", 0)
