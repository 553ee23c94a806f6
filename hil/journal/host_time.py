"""The host's time in a journal: the machine's clock, or, in lockstep, how far the board was led."""

from __future__ import annotations

import time
from typing import Protocol


class HostTime(Protocol):
    """Gives the time of a record; a drive tells it how far its trial has come."""

    def __call__(self) -> int:
        """Now, in ns."""

    def reach(self, time_us: int) -> None:
        """The trial's own time is `time_us` from now on."""


class MonotonicTime:
    """CLOCK_MONOTONIC, whatever the trial's own time."""

    def __call__(self) -> int:
        return time.monotonic_ns()

    def reach(self, time_us: int) -> None:
        pass


class VirtualTime:
    """The trial's own time: a lockstep journal knows no other, or no two would be the same."""

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> int:
        return self._now_ns

    def reach(self, time_us: int) -> None:
        self._now_ns = time_us * 1000
