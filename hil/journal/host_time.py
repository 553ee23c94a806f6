"""The host's time in a journal: the machine's clock or, in lockstep, the board's virtual time."""

from __future__ import annotations

import time
from typing import Protocol


class HostTime(Protocol):
    """Returns the time of a record; a drive sets how far its trial has come."""

    def __call__(self) -> int:
        """Return the present time, in ns."""

    def reach(self, time_us: int) -> None:
        """Set the trial's own time to `time_us`."""


class MonotonicTime:
    """CLOCK_MONOTONIC, independent of the trial's own time."""

    def __call__(self) -> int:
        return time.monotonic_ns()

    def reach(self, time_us: int) -> None:
        pass


class VirtualTime:
    """The trial's own time. A lockstep journal contains no other, so that two runs give the same
    journal."""

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> int:
        return self._now_ns

    def reach(self, time_us: int) -> None:
        self._now_ns = time_us * 1000
