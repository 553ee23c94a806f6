"""The documentation's table of online distillation, from results/online_distillation.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from policy_distillation_tables import share

from sparsectl.common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results" / "online_distillation.json"

JSON = dict[str, Any]

ROWS = 8
"""Of the curve, evenly; the last is among them."""
WARM = 1 / 4
"""Of the turns, before which nobody has learnt enough for falls to count."""


def means(returns: Any) -> NDArray[np.float64]:
    """Of episodes, the last axis of [..., turns, episodes]."""
    return np.asarray(np.asarray(returns, np.float64).mean(axis=-1))


def falls(curve: NDArray[np.float64], final: float) -> NDArray[np.float64]:
    """Mean fall from one turn to the next, a rise being none, as a share of `final`; of curves
    [..., turns] after the first quarter."""
    later = curve[..., int(WARM * curve.shape[-1]) :]
    return np.asarray(np.maximum(later[..., :-1] - later[..., 1:], 0).mean(axis=-1) / final)


def online_distillation() -> list[str]:
    """Curves of teacher and students, turn by turn, then the verdicts."""
    found = read_json(RESULTS)
    teacher, settings = found["teacher"], found["settings"]
    now, best = means(teacher["now"]), means(teacher["best"])
    students = means([row["returns"] for row in found["students"]])
    lines = [
        f"{settings['game'].replace('_', ' ').title()}, a teacher by PPO and {len(students)} "
        f"students of {settings['size']} % of its weights, {settings['episodes']} episodes in "
        "each turn:",
        "",
        "| teacher's frames | teacher as it stands | best copy so far "
        "| students, mean [least, most] |",
        "| --- | --- | --- | --- |",
    ]
    turns = len(now)
    for turn in sorted({round(k * (turns - 1) / (ROWS - 1)) for k in range(ROWS)}):
        own = students[:, turn]
        lines.append(
            f"| {teacher['frames'][turn]:,} | {now[turn]:.1f} | {best[turn]:.1f} "
            f"| {own.mean():.1f} [{own.min():.1f}, {own.max():.1f}] |"
        )
    return [*lines, "", *_verdicts(found, now, students)]


def _verdicts(found: JSON, now: NDArray[np.float64], students: NDArray[np.float64]) -> list[str]:
    """What the students end with, and whether their curves are steadier than the teacher's."""
    game = found["settings"]["game"]
    last = {game: [row["returns"][-1] for row in found["students"]]}
    value, low, high = share(last, {game: found["teacher"]["best"][-1]})
    reached = "open" if low < 0.95 <= high else "reproduced" if low >= 0.95 else "not reproduced"
    final = float(means(found["teacher"]["best"])[-1])
    teachers, own = float(falls(now, final)), falls(students, final)
    steadier = "reproduced" if own.max() < teachers else "open" if own.min() < teachers else "no"
    return [
        "| claim | found | verdict |",
        "| --- | --- | --- |",
        "| A student keeps up with a teacher that still learns: at the end it has 95 % of the best "
        f"copy's score | {value:.1%} [{low:.1%}, {high:.1%}] | {reached} |",
        "| Its curve is steadier than the teacher's: less is lost from turn to turn, in shares of "
        f"the last score | students {own.mean():.1%} [{own.min():.1%}, {own.max():.1%}], teacher "
        f"{teachers:.1%} | {steadier} |",
    ]


TABLES = {"online_distillation": online_distillation}
