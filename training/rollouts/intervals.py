"""What is said of returns, and how sure it is: bootstrap intervals, paired and crossed.

Returns of one policy are of shape [episodes]. Those of several students that met the same episodes
are [students, episodes]: such rows are not independent, since a hard start is hard for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used; stats takes a second
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Interval = tuple[float, float]

FAILED_SHARE = 0.75
"""An episode fails where it returns less than this share of the teacher's mean return."""

RESAMPLES = 2_000
CROSSED_RESAMPLES = 500
"""Number of bootstrap samples of students, and of episodes: a variance needs fewer than a
quantile."""
CVAR_EPISODES = 500
"""With fewer episodes the worst hundredth is one or two episodes, which is luck."""


def share_of(share: float, value: float) -> float:
    """Return a share of a return; for a negative return, as in Pendulum-v1, a share is a loss."""
    return value - (1 - share) * abs(value)


def cvar(returns: ArrayLike, share: float = 0.01, axis: int = -1) -> Any:
    """Conditional value at risk: the mean of the worst share of the returns along the axis.

    If the share is not a whole number of episodes, the last one counts in part (Rockafellar and
    Uryasev 2000).
    """
    values = np.moveaxis(np.asarray(returns, np.float64), axis, -1)
    wanted = max(share * values.shape[-1], 1.0)
    whole = math.floor(wanted + 1e-9)
    worst = np.sort(values, axis=-1)[..., : whole + 1]
    total = worst[..., :whole].sum(axis=-1)
    if wanted - whole > 1e-9:
        total = total + (wanted - whole) * worst[..., whole]
    return total / wanted


def bootstrap_interval(
    values: Array, statistic: Callable[..., Any], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Bootstrap interval of a statistic of episodes (BCa; a point where nothing varies)."""
    if len(values) < 2 or np.ptp(values) == 0:
        point = float(statistic(values))
        return point, point
    result = scipy.stats.bootstrap(
        (values,),
        statistic,
        confidence_level=confidence,
        n_resamples=RESAMPLES if confidence <= 0.95 else 4 * RESAMPLES,
        batch=max(1, 4_000_000 // len(values)),
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    if not (np.isfinite(low) and np.isfinite(high)):  # BCa is degenerate
        low = high = float(statistic(values))
    return float(low), float(high)


def mean_interval(values: Array, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Bootstrap interval of the mean."""
    return bootstrap_interval(values, np.mean, confidence, seed)


def paired_difference(student: Array, teacher: Array, confidence: float = 0.95) -> dict[str, float]:
    """Return student minus teacher, episode by episode, as shares of the teacher's mean return.

    Args:
        student: returns [episodes] …
        teacher: … and the teacher's in the same episodes.
        confidence: of the interval.

    Returns:
        dict: difference, difference_low, difference_high; shares of |teacher's mean|.
    """
    size = abs(float(teacher.mean())) or 1.0
    differences = (student - teacher) / size
    low, high = mean_interval(differences, confidence)
    return {
        "difference": float(differences.mean()),
        "difference_low": low,
        "difference_high": high,
    }


def failure_figures(returns: Array, least: float) -> dict[str, float]:
    """Return the episodes in a thousand with a return below `least`, with the exact 95 %
    interval."""
    failed = int((returns < least).sum())
    rate = scipy.stats.binomtest(failed, len(returns)).proportion_ci()
    return {
        "failures_per_1000": 1000 * failed / len(returns),
        "failures_low": 1000 * float(rate.low),
        "failures_high": 1000 * float(rate.high),
    }


def cvar_figures(returns: Array) -> dict[str, float | None]:
    """Return the CVaR at 1 % with its 95 % interval; None if there are too few episodes."""
    if len(returns) < CVAR_EPISODES:
        return {"cvar_1": None, "cvar_1_low": None, "cvar_1_high": None}
    low, high = bootstrap_interval(returns, cvar)
    return {"cvar_1": float(cvar(returns)), "cvar_1_low": low, "cvar_1_high": high}


Statistic = Callable[[Array, Array], float]
"""Returns of students [students, episodes] and of their teacher [episodes] → a figure."""


def crossed_interval(
    statistic: Statistic, students: Array, teacher: Array, seed: int = 0
) -> Interval:
    """Return the 95 % interval of a figure of several students that ran the same episodes as their
    teacher.

    Students and episodes are both drawn anew, each by itself: a hard episode is hard for all, so
    rows of returns are not independent. The two bootstrap variances are added, which counts what
    one student does in one episode twice and so errs on the wide side; the quantile is Student's,
    its degrees of freedom those of Welch and Satterthwaite, since a handful of students says little
    of their spread. A single student's interval is over episodes alone.

    Args:
        statistic: the figure.
        students: returns [students, episodes], or [students, episodes, …] of what belongs together.
        teacher: returns [episodes] in the same episodes.
        seed: of the resampling.
    """
    random = np.random.default_rng(seed)
    count, episodes = students.shape[:2]
    point = statistic(students, teacher)
    drawn_episodes = [
        statistic(students[:, rows], teacher[rows])
        for rows in random.integers(0, episodes, (CROSSED_RESAMPLES, episodes))
    ]
    of_episodes = float(np.var(drawn_episodes, ddof=1))
    of_students = 0.0
    if count > 1:
        drawn_students = [
            statistic(students[rows], teacher)
            for rows in random.integers(0, count, (CROSSED_RESAMPLES, count))
        ]
        # A sample of n has n - 1 nths of the spread that it is drawn from.
        of_students = float(np.var(drawn_students, ddof=1)) * count / (count - 1)
    total = of_students + of_episodes
    if total == 0:
        return point, point
    freedom = total**2 / (
        of_students**2 / max(count - 1, 1) + of_episodes**2 / max(episodes - 1, 1)
    )
    half = float(scipy.stats.t.ppf(0.975, freedom)) * math.sqrt(total)
    return point - half, point + half


def crossed_figures(students: Array, teacher: Array) -> dict[str, Any]:
    """Return the figures of a recipe's students beside their teacher, each with its interval.

    Args:
        students: returns [students, episodes].
        teacher: returns [episodes] in the same episodes.

    Returns:
        dict: seeds, episodes, difference (of the mean return, as a share of the teacher's), cvar_1
        (of a student; None below 500 episodes), failures_per_1000, each with its _low and _high.
    """
    mean = float(teacher.mean())
    least = share_of(FAILED_SHARE, mean)
    size = abs(mean) or 1.0

    def difference(students: Array, teacher: Array) -> float:
        return float((students.mean() - teacher.mean()) / size)

    def tail(students: Array, teacher: Array) -> float:
        return float(np.mean(cvar(students, axis=1)))

    def failures(students: Array, teacher: Array) -> float:
        return 1000 * float((students < least).mean())

    figures: dict[str, Any] = {"seeds": len(students), "episodes": len(teacher)}
    for name, statistic in {
        "difference": difference,
        "cvar_1": tail,
        "failures_per_1000": failures,
    }.items():
        if name == "cvar_1" and len(teacher) < CVAR_EPISODES:
            figures |= dict.fromkeys((name, f"{name}_low", f"{name}_high"))
            continue
        low, high = crossed_interval(statistic, students, teacher)
        if name == "failures_per_1000":
            none = failure_figures(teacher * 0 + least, least)  # of so many episodes, in none
            low, high = max(low, 0.0), max(high, none["failures_high"])
        figures |= {name: statistic(students, teacher), f"{name}_low": low, f"{name}_high": high}
    return figures
