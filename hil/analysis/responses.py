"""Measure how well the pole was balanced: RMS of angle and duty, and the response to each kick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsectl.hil.analysis.balance import find_capture
from sparsectl.hil.journal.trace import BALANCED_RAD, Trace

SETTLED_RAD = 0.05
"""The response to a kick ends when the pole stays within this angle of upright until the next
kick."""


@dataclass(frozen=True)
class Balancing:
    """RMS values from the capture to the end; None if the pole was never up."""

    rms_angle_rad: float | None
    """Root mean square of the pole's angle from upright, in rad; None: there is none."""
    rms_duty: float | None
    """Root mean square of the motor's duty; None: there is none."""


def balancing(active: Trace) -> Balancing:
    """Return how far the pole was from upright, and the duty that this took.

    Args:
        active: the ticks in which the policy drove the motor.
    """
    start = _capture(active)
    if start is None:
        return Balancing(None, None)
    return Balancing(
        round(_rms(active.pole_angle_rad[start:]), 5), round(_rms(active.duty[start:]), 5)
    )


def kick_responses(active: Trace, kick_times_us: Sequence[int]) -> list[dict[str, float | None]]:
    """Return for each kick `peak_rad`, the largest angle until the next kick or the end, and
    `settling_s`, the time until the pole stays within `SETTLED_RAD`; None if it did not.
    """
    ends_us = [*kick_times_us[1:], np.inf]
    found = []
    for start_us, end_us in zip(kick_times_us, ends_us, strict=False):
        inside = (active.time_us >= start_us) & (active.time_us < end_us)
        angle_rad = np.abs(active.pole_angle_rad[inside])
        after_s = np.asarray((active.time_us[inside] - start_us) * 1e-6, dtype=np.float64)
        found.append(_response(angle_rad, after_s))
    return found


def _response(
    angle_rad: NDArray[np.float64], time_s: NDArray[np.float64]
) -> dict[str, float | None]:
    if not len(angle_rad):
        return {"peak_rad": None, "settling_s": None}
    out = np.flatnonzero(angle_rad > SETTLED_RAD)
    if not len(out):
        settling_s: float | None = 0.0
    elif out[-1] + 1 == len(time_s):
        settling_s = None
    else:
        settling_s = round(float(time_s[out[-1] + 1]), 3)
    return {"peak_rad": round(float(angle_rad.max()), 5), "settling_s": settling_s}


def _capture(active: Trace) -> int | None:
    time_s = np.asarray(active.time_us * 1e-6, dtype=np.float64)
    return find_capture(np.abs(active.pole_angle_rad) < BALANCED_RAD, time_s)


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
