"""What many worlds say together: shares of the teacher, how soon, and how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np
from grid_world_experiments import Experiment

from sparsectl.training.rollouts.intervals import mean_interval

REACHED = 0.95
"""Share of the teacher's return, from that of random moves, at which it counts as recovered."""

PAIRS = (
    ("expected entropy regularised", "entropy regularised"),
    ("expected entropy regularised", "on-policy distill"),
    ("N-distill", "on-policy distill"),
    ("teacher V shaping", "teacher V reward"),
    ("teacher V shaping", "policy gradient"),
    ("teacher V shaping", "on-policy distill"),
    ("teacher V, one step", "on-policy distill"),
    ("on-policy distill", "teacher distill"),
)
"""What is compared world by world, the first less the second."""


def shares(worlds: list[dict[str, Any]], method: str, rate: int = 0) -> Any:
    """Share of the way from random moves to the teacher, [worlds, marks].

    The measure is the distance between the two, so that a teacher who is worse stands at −1. A
    student whose numbers overflowed does nothing better than move at random.
    """
    teacher = np.array([world["teacher"] for world in worlds])[:, None]
    even = np.array([world["even"] for world in worlds])[:, None]
    returns = np.array([world["returns"][method][rate] for world in worlds])
    return (np.where(np.isfinite(returns), returns, even) - even) / np.abs(teacher - even)


def score(worlds: list[dict[str, Any]], method: str, rates: int) -> list[float]:
    """What step sizes are chosen by: the mean share over worlds and marks, at each of them."""
    return [float(np.clip(shares(worlds, method, k), -2, 2).mean()) for k in range(rates)]


def trajectories_to(share: Any, marks: tuple[int, ...], wanted: float = REACHED) -> Any:
    """Logarithm of the trajectories until the student first has the wanted share, by world.

    Between two marks the share is interpolated, trajectories on a logarithmic scale, mark 0 as
    half a trajectory; infinity where the student never has it.
    """
    rising = np.maximum.accumulate(share, axis=1)
    scale = np.log(np.maximum(marks, 0.5))
    return np.array(
        [np.inf if row[-1] < wanted else np.interp(wanted, row, scale) for row in rising]
    )


def _spread(values: Any) -> dict[str, float]:
    low, high = mean_interval(values)
    return {"mean": float(values.mean()), "low": low, "high": high}


def _overflowed(worlds: list[dict[str, Any]], method: str, rate: int) -> float:
    last = np.array([world["returns"][method][rate][-1] for world in worlds])
    return float(1 - np.isfinite(last).mean())


def _row(share: Any, rate: float, marks: tuple[int, ...]) -> dict[str, Any]:
    intervals = [mean_interval(column) for column in share.T]
    at = np.exp(trajectories_to(share, marks))
    median = float(np.median(at))
    return {
        "rate": rate,
        "share": [float(value) for value in share.mean(axis=0)],
        "low": [low for low, _ in intervals],
        "high": [high for _, high in intervals],
        "over_all_marks": _spread(share.mean(axis=1)),
        "recovered": float(np.isfinite(at).mean()),
        "recovered_median": median if np.isfinite(median) else None,
    }


def _ratio(first: Any, second: Any, marks: tuple[int, ...]) -> dict[str, Any]:
    """How many times as many trajectories the first takes as the second, geometric mean.

    Of the worlds where one of the two never recovers the teacher, it counts with the last mark,
    which keeps the ratio nearer to 1 than it is; where neither does, the world counts with 1.
    """
    last = np.log(marks[-1])
    times = [np.minimum(trajectories_to(share, marks), last) for share in (first, second)]
    spread = _spread(times[0] - times[1])
    return {key: float(np.exp(value)) for key, value in spread.items()}


def summary(
    worlds: list[dict[str, Any]],
    experiment: Experiment,
    rates: dict[str, tuple[float, ...]],
    marks: tuple[int, ...],
) -> dict[str, Any]:
    """Means with 95 % intervals over worlds at every mark, and how long recovery took."""
    result: dict[str, Any] = {
        "title": experiment.title,
        "worlds": len(worlds),
        "marks": list(marks),
        "teacher_return": float(np.mean([world["teacher"] for world in worlds])),
        "random_return": float(np.mean([world["even"] for world in worlds])),
        "processor_seconds": {
            part: float(sum(world["seconds"][part] for world in worlds))
            for part in worlds[0]["seconds"]
        },
        "rows": {},
    }
    for method in experiment.methods:
        rows = [
            _row(shares(worlds, method, k), rate, marks)
            | {"overflowed": _overflowed(worlds, method, k)}
            for k, rate in enumerate(rates[method])
        ]
        result["rows"][method] = rows if experiment.equal else rows[0]
    if experiment.equal:
        result["ratios"] = [
            {"rate": rate}
            | _ratio(
                shares(worlds, "teacher distill", k), shares(worlds, "on-policy distill", k), marks
            )
            for k, rate in enumerate(experiment.rates)
        ]
        result["divergences"] = {
            method: np.mean([world["divergences"][method] for world in worlds], axis=0).tolist()
            for method in experiment.methods
        }
        return result
    result["differences"] = [
        {
            "first": first,
            "second": second,
            "last": _spread((shares(worlds, first) - shares(worlds, second))[:, -1]),
            "over_all_marks": _spread(
                (shares(worlds, first) - shares(worlds, second)).mean(axis=1)
            ),
        }
        for first, second in PAIRS
        if first in experiment.methods and second in experiment.methods
    ]
    if {"teacher distill", "on-policy distill"} <= set(experiment.methods):
        result["ratio"] = _ratio(
            shares(worlds, "teacher distill"), shares(worlds, "on-policy distill"), marks
        )
    return result


def printed(name: str, found: dict[str, Any]) -> None:
    """The table, as text."""
    print(f"\n{name}: {found['title']}, {found['worlds']} worlds")
    columns = [
        k for k, mark in enumerate(found["marks"]) if mark in (10, 100, 1000, 10_000, 30_000)
    ]
    for method, rows in found["rows"].items():
        for row in rows if isinstance(rows, list) else [rows]:
            cells = [
                f"{row['share'][k]:6.2f} [{row['low'][k]:.2f}, {row['high'][k]:.2f}]"
                for k in columns
            ]
            median = row["recovered_median"]
            print(
                f"{method:38s} rate {row['rate']:8.1e} ",
                *cells,
                f" 95 % of the teacher in {100 * row['recovered']:.0f} % of worlds, median "
                f"{'never' if median is None else f'{median:.0f}'}",
            )
    for ratio in found.get("ratios", [found["ratio"]] if "ratio" in found else []):
        at = f" at step size {ratio['rate']:g}" if "rate" in ratio else ""
        print(
            "teacher-driven takes {mean:.2f} [{low:.2f}, {high:.2f}] times the trajectories of "
            "student-driven{at}".format(**ratio, at=at)
        )
    for pair in found.get("differences", []):
        print(
            f"{pair['first']} less {pair['second']}: at the end "
            "{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format(**pair["last"])
        )
    seconds = found["processor_seconds"]
    print("processor seconds:", {part: round(value, 1) for part, value in seconds.items()})
