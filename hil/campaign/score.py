"""Score a trial with one number, and summarise the scores of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when they are first used; stats takes a second
from numpy.typing import NDArray

from sparsectl.hil.analysis.balance import find_capture
from sparsectl.hil.analysis.results import active_part
from sparsectl.hil.journal.trace import BALANCED_RAD, Trace

CONFIDENCE = 0.95
RESAMPLES = 5_000
FIRST_ANALYSIS, EVERY = 20, 10
"""Pairs before the first interim analysis, and between two."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Return whether `value` lies outside the interval."""
        return not self.low <= value <= self.high


SCORE = "share of --seconds upright, from the capture"
"""Version of the score's meaning; another version is another campaign."""


def upright_share(trace: Trace, seconds: float, missed_after_s: Sequence[float] = ()) -> float:
    """Return the share of the planned balancing time in which the pole was upright, 0 to 1.

    That time is `seconds` from the capture, as are the kicks; a pole that was never up scores 0.
    Upright is within 0.2 rad. Ticks that a trial lost to a fall or a stop count as fallen, and so
    does everything after a planned kick that did not take place (`missed_after_s`, seconds after
    the capture).
    """
    active = active_part(trace)
    time_s = np.asarray((active.time_us - active.time_us[:1]) * 1e-6, dtype=np.float64)
    upright = np.abs(active.pole_angle_rad) < BALANCED_RAD
    capture = find_capture(upright, time_s)
    if capture is None:
        return 0.0
    held_s = time_s[capture:] - time_s[capture]
    spans_s = np.diff(held_s, append=held_s[-1])
    inside = held_s < min([seconds, *missed_after_s])
    return float(min(1.0, np.sum(spans_s[inside & upright[capture:]]) / seconds))


def interim_analyses(most: int) -> list[int]:
    """Return the number of pairs at each interim analysis: the first, every few, the last."""
    return sorted({*range(min(FIRST_ANALYSIS, most), most, EVERY), most})


def mean_interval(
    values: Sequence[float], analyses_planned: int = 1, possible: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    """Return the mean with a bootstrap interval (percentile; Efron 1979).

    analyses_planned: how many times the growing data is analysed. Each time gets an equal part of
    the 5 % (Bonferroni), so that stopping at the first clear one keeps the promise of 95 %.
    possible: the least and greatest that a value can be.
    """
    data: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if np.ptp(data) == 0.0:
        # No spread to resample: all alike in n trials rules out, at this level, no more than
        # differences rarer than the rule of three's share (Hanley and Lippman-Hand 1983).
        reach = float(-np.log((1 - CONFIDENCE) / analyses_planned) / len(data))
        value = float(data[0])
        return Interval(value, max(possible[0], value - reach), min(possible[1], value + reach))
    level = 1 - (1 - CONFIDENCE) / analyses_planned
    found = scipy.stats.bootstrap(
        (data,),
        np.mean,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(data.mean()), float(found.low), float(found.high))


def share_interval(successes: int, trials: int) -> Interval:
    """Return a share with its exact interval (Clopper and Pearson 1934)."""
    exact = scipy.stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, "exact")
    return Interval(successes / trials, float(exact.low), float(exact.high))
