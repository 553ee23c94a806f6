"""Statistics of few runs (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice"): the interquartile mean, stratified bootstrap intervals, and the probability
that one method is better than another.

The scores of a method are one array [runs] per task; runs are resampled within each task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import scipy  # its parts load when they are first used; stats takes a second
from numpy.typing import NDArray

Array = NDArray[np.float64]
Scores = Sequence[Array]
Statistic = Callable[..., Any]
"""Samples [..., runs], one per task, and the axis of the runs → the statistic [...]."""

RESAMPLES: Final = 5_000
TRIMMED: Final = 0.25
"""Share of the scores that the interquartile mean discards at each end."""
FEWEST: Final = 2
"""Fewest runs of a task for which there is an interval."""


def mean(*samples: Array, axis: int = -1) -> Any:
    """Return the mean of all runs of all tasks."""
    return np.concatenate(samples, axis=axis).mean(axis=axis)


def interquartile_mean(*samples: Array, axis: int = -1) -> Any:
    """Return the mean of the middle half of all runs of all tasks: less noisy than the median, and
    less sensitive to one run than the mean."""
    return scipy.stats.trim_mean(np.concatenate(samples, axis=axis), TRIMMED, axis=axis)


def probability_of_improvement(*samples: Array, axis: int = -1) -> Any:
    """Return the probability that a run of one method has a higher score than a run of another,
    in a task drawn at random (Mann and Whitney's U over the pairs; a tie counts half).

    Args:
        samples: scores of the first method in each task, then those of the other.
        axis: the axis of the runs.
    """
    half = len(samples) // 2
    shares = []
    for one, other in zip(samples[:half], samples[half:], strict=True):
        a = np.moveaxis(np.asarray(one), axis, -1)[..., :, None]
        b = np.moveaxis(np.asarray(other), axis, -1)[..., None, :]
        shares.append(((a > b) + 0.5 * (a == b)).mean(axis=(-2, -1)))
    return np.mean(shares, axis=0)


def interval(statistic: Statistic, scores: Scores, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of a statistic by the stratified bootstrap: the runs of each task
    are resampled separately, and the interval spans the 2.5th to the 97.5th percentile.

    Returns:
        tuple: low and high; None if a task has a single run, whose spread is unknown.
    """
    if not scores or min(len(each) for each in scores) < FEWEST:
        return None
    found = scipy.stats.bootstrap(
        tuple(scores),
        statistic,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)
