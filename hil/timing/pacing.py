"""Pace the steps of processor in the loop: by the machine's clock, or without waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Pace(Protocol):
    """Waits before each step of a drive."""

    def wait(self) -> None:
        """Return when the step is due."""


class Unpaced:
    """Each step is due at once."""

    def wait(self) -> None:
        """See `Pace`."""


class RealtimePace:
    """Steps are on a grid of the control period, by CLOCK_MONOTONIC.

    A late step does not move those after it. After a delay of whole periods these are dropped and
    not caught up with; the plant, whose time is that of the steps, has waited.
    """

    def __init__(self, period_us: int) -> None:
        self._period_ns = period_us * 1000
        self._due_ns = time.monotonic_ns()

    def wait(self) -> None:
        """See `Pace`."""
        left_ns = self._due_ns - time.monotonic_ns()
        if left_ns > 0:
            time.sleep(left_ns * 1e-9)
        passed = max(0, -left_ns) // self._period_ns
        self._due_ns += (1 + passed) * self._period_ns
