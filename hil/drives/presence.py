"""Detect whether this program itself ran: a suspended host must not blame its board for silence."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

ABSENT_S = 0.05
"""If a turn of the loop takes this much longer than it may wait, the program was not running."""
CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that also runs while the machine is suspended, as a laptop whose lid was closed; the
board's clock runs then."""
FRESH_S = 2.0
"""How long after an absence a failure is attributed to it, while frames are read that had
waited."""


@dataclass(frozen=True)
class Absence:
    """A time in which this program did not run: it was suspended, or delayed by its machine or
    disk."""

    seconds: float
    ended_ns: int
    """By `CLOCK`."""

    @property
    def words(self) -> str:
        """Describe the absence to a person."""
        return (
            f"this program itself did not run for {self.seconds:.1f} s (it was suspended, or its "
            "machine or disk was busy)"
        )


class Presence:
    """Checked once in each turn of a loop that waits for at most `turn_s`."""

    def __init__(self, turn_s: float) -> None:
        self._longest_ns = round((turn_s + ABSENT_S) * 1e9)
        self._looked_ns: int | None = None
        self._last: Absence | None = None

    def look(self) -> Absence | None:
        """Return the absence since the last check, if there was one."""
        now_ns, before_ns = time.clock_gettime_ns(CLOCK), self._looked_ns
        self._looked_ns = now_ns
        if before_ns is None or now_ns - before_ns <= self._longest_ns:
            return None
        self._last = Absence((now_ns - before_ns) * 1e-9, now_ns)
        return self._last

    def rest(self) -> None:
        """Call this when the loop pauses for other work, which then does not count as an
        absence."""
        self._looked_ns = None

    def recent(self) -> Absence | None:
        """Return the last absence if it has just ended."""
        now_ns = time.clock_gettime_ns(CLOCK)
        if self._last is None or now_ns - self._last.ended_ns > FRESH_S * 1e9:
            return None
        return self._last
