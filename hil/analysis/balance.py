"""Determine when the pole is up, for how long, and whether it survived a kick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsectl.hil.journal.trace import BALANCED_RAD

CAPTURE_S = 0.5
"""The pole is up once it has stayed in the band for this long; it was up where it entered."""


@dataclass(frozen=True)
class Balance:
    """Measures of how well the pole was balanced; times in seconds of the board's clock."""

    balanced: bool
    """True if the pole stayed in the band from the capture to the end, except for the recovery time
    after each kick."""
    balanced_seconds: float
    """The longest time within the band."""
    swing_up_seconds: float | None
    """Time from the first active tick until the pole entered the band to stay; None: never."""
    held_seconds: float
    """Time from the capture to the end of the trial."""


def longest_run(inside: NDArray[np.bool_], time_s: NDArray[np.float64]) -> float:
    """Return the longest time that an unbroken run inside lasts; 0 if there is none."""
    padded = np.concatenate(([False], inside, [False])).astype(np.int8)
    edges = np.flatnonzero(np.diff(padded))
    starts, ends = edges[::2], edges[1::2] - 1
    return float(np.max(time_s[ends] - time_s[starts], initial=0.0))


def find_capture(inside: NDArray[np.bool_], time_s: NDArray[np.float64]) -> int | None:
    """Return the index at which the first run inside of at least `CAPTURE_S` begins; None if there
    is none."""
    entered = None
    for index, within in enumerate(inside):
        if not within:
            entered = None
        elif entered is None:
            entered = index
        if entered is not None and time_s[index] - time_s[entered] >= CAPTURE_S - 1e-9:
            return entered
    return None


def assess_balance(
    time_s: NDArray[np.float64],
    angle_rad: NDArray[np.float64],
    kick_times_s: Sequence[float],
    wanted_s: float,
    recovery_s: float,
) -> Balance:
    """Assess the active ticks of a trial.

    Args:
        time_s: time of each active tick, ascending.
        angle_rad: angle of the pole, 0 upright.
        kick_times_s: when kicks began, on the same clock.
        wanted_s: how long the pole had to be balanced after the capture.
        recovery_s: how long after a kick the pole may be out of the band.
    """
    inside = np.abs(angle_rad) < BALANCED_RAD
    capture = find_capture(inside, time_s)
    if capture is None:
        return Balance(False, round(longest_run(inside, time_s), 3), None, 0.0)
    excused = np.zeros(len(time_s), dtype=np.bool_)
    for kick_s in kick_times_s:
        excused |= (time_s >= kick_s) & (time_s < kick_s + recovery_s)
    held_s = float(time_s[-1] - time_s[capture])
    steady = bool(np.all((inside | excused)[capture:])) and bool(inside[-1])
    return Balance(
        balanced=steady and held_s >= wanted_s - 1e-6,
        balanced_seconds=round(longest_run(inside, time_s), 3),
        swing_up_seconds=round(float(time_s[capture] - time_s[0]), 3),
        held_seconds=round(held_s, 3),
    )


class CaptureWatch:
    """Finds the capture while the trial runs; the same rule as `find_capture`."""

    def __init__(self) -> None:
        self._entered_us: int | None = None
        self.captured_us: int | None = None

    def take(self, time_us: int, angle_rad: float) -> None:
        """Add one active tick."""
        if self.captured_us is not None:
            return
        if abs(angle_rad) >= BALANCED_RAD:
            self._entered_us = None
        elif self._entered_us is None:
            self._entered_us = time_us
        if self._entered_us is not None and time_us - self._entered_us >= CAPTURE_S * 1e6:
            self.captured_us = self._entered_us
