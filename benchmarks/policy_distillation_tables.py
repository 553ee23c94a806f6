"""The documentation's tables of Policy Distillation, from results/policy_distillation.json and
results/joint_learning.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results" / "policy_distillation.json"
JOINT = RESULTS.with_name("joint_learning.json")

JSON = dict[str, Any]
Returns = dict[str, list[list[float]]]
"""Of each game, those of each seed's student."""

RESAMPLES = 2_000
LOSSES = {"kl": "KL", "nll": "NLL", "mse": "MSE"}
PAPER = {("kl", 25): 1.083, ("kl", 7): 1.017, ("kl", 4): 0.839}
"""Geometric means over ten games of Atari; of small networks it has KL's alone."""
LEAST_GAMES, LEAST_SEEDS = 3, 2
"""Without so many there is no verdict."""
PAPER_SEVERAL = {"kl": "116.9 %", "nll": "105.1 %"}
PAPER_JOINT = "83.5 %, of a DQN"


def share(students: Returns, teachers: dict[str, list[float]]) -> tuple[float, float, float]:
    """Geometric mean over the games of the students' share of their teacher's score, and its
    interval of 95 %: a bootstrap over seeds, and over episodes within each (of the teacher too)."""
    random = np.random.default_rng(0)

    def drawn(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """[RESAMPLES] means of a sample as large."""
        found = values[random.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
        return np.asarray(found)

    logs, value = np.zeros(RESAMPLES), 0.0
    for game, seeds in students.items():
        of_seeds = np.stack([drawn(np.asarray(returns)) for returns in seeds])
        picked = random.integers(len(seeds), size=(len(seeds), RESAMPLES))
        student = np.take_along_axis(of_seeds, picked, axis=0).mean(axis=0)
        teacher = np.asarray(teachers[game])
        logs += np.log(np.maximum(student, 1e-9) / drawn(teacher)) / len(students)
        mean = float(np.mean([np.mean(returns) for returns in seeds]))
        value += np.log(max(mean, 1e-9) / teacher.mean()) / len(students)
    low, high = np.exp(np.quantile(logs, [0.025, 0.975]))
    return float(np.exp(value)), float(low), float(high)


def _rows() -> tuple[list[JSON], dict[str, list[float]]]:
    found = read_json(RESULTS)
    return found["rows"], found["teachers"]


def _gathered(rows: list[JSON], wanted: Callable[[JSON], bool]) -> Returns:
    gathered: Returns = {}
    for row in filter(wanted, rows):
        for game, returns in row["returns"].items():
            gathered.setdefault(game, []).append(returns)
    return gathered


def _cell(found: Returns, teachers: dict[str, list[float]]) -> str:
    if not found:
        return "–"
    value, low, high = share(found, teachers)
    return f"{value:.1%} [{low:.1%}, {high:.1%}]"


def _seeds(found: Returns) -> str:
    counts = sorted({len(seeds) for seeds in found.values()})
    return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else "0"


def policy_distillation_teachers() -> list[str]:
    """What the teachers score."""
    rows, teachers = _rows()
    lines = ["| game | teacher's score | episodes |", "| --- | --- | --- |"]
    for game, returns in teachers.items():
        lines.append(f"| {game} | {np.mean(returns):.1f} | {len(returns)} |")
    return lines


def policy_distillation_sizes() -> list[str]:
    """A row a loss and size: the share of the teachers' scores, over all games that are there."""
    rows, teachers = _rows()
    lines = [
        "| loss | size | weights | share of teachers' score | games | seeds | paper | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    single = [row for row in rows if row["kind"] == "single"]
    for loss, size in sorted({(row["loss"], row["size"]) for row in single}, key=_order):
        of_these = [row for row in single if (row["loss"], row["size"]) == (loss, size)]
        found = _gathered(of_these, lambda row: True)
        weights = f"{min(r['weights'] for r in of_these):,}"
        lines.append(
            f"| {LOSSES[loss]} | {size} % | from {weights} | {_cell(found, teachers)} "
            f"| {len(found)} | {_seeds(found)} | {_paper(found, teachers, (loss, size))} |"
        )
    return lines


def _paper(found: Returns, teachers: dict[str, list[float]], key: tuple[str, int]) -> str:
    """The paper's share, and whether ours has it."""
    paper = PAPER.get(key)
    if paper is None:
        return "– | –"
    if len(found) < LEAST_GAMES or min(map(len, found.values())) < LEAST_SEEDS:
        return f"{paper:.1%} | open"
    _, low, high = share(found, teachers)
    return f"{paper:.1%} | " + (
        "not reproduced" if high < paper else "better" if low > paper else "reproduced"
    )


def _order(pair: tuple[str, int]) -> tuple[int, int]:
    return list(LOSSES).index(pair[0]), -pair[1]


def policy_distillation_several() -> list[str]:
    """A row a loss: several games in one network of one teacher's size; then the networks of that
    size that learnt the games jointly."""
    rows, teachers = _rows()
    lines = [
        "| games | one network | frames of the games | score, share of the teachers' | seeds "
        "| paper, three games |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    several = [row for row in rows if row["kind"] == "several"]
    for games, loss in sorted({(tuple(row["games"]), row["loss"]) for row in several}):
        pair = (list(games), loss)
        found = _gathered(several, lambda row, pair=pair: (row["games"], row["loss"]) == pair)
        lines.append(
            f"| {len(games)} | student, {LOSSES[loss]} | the teachers' "
            f"| {_cell(found, teachers)} | {_seeds(found)} | {PAPER_SEVERAL.get(loss, '–')} |"
        )
    joint = read_json(JOINT)["rows"] if JOINT.exists() else []
    for key in sorted({(tuple(row["games"]), row["algo"], row["frames"]) for row in joint}):
        games, algo, frames = key
        found = _gathered(
            joint, lambda row, key=key: (tuple(row["games"]), row["algo"], row["frames"]) == key
        )
        lines.append(
            f"| {len(games)} | learnt jointly, {algo.upper()} | {frames:,} "
            f"| {_cell(found, teachers)} | {_seeds(found)} | {PAPER_JOINT} |"
        )
    return lines


def policy_distillation_bytes() -> list[str]:
    """Sparse students of 2 % of the weights beside small dense ones of the same bytes, by KL."""
    rows, teachers = _rows()
    lines = [
        "| student | weights | bytes of tables | score, share of the teachers' | games | seeds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind, name in (("sparse", "sparse, 2 %"), ("small", "small and dense")):
        of_kind = [row for row in rows if row["kind"] == kind]
        if not of_kind:
            continue
        found = _gathered(of_kind, lambda row: True)
        weights, sizes = ([row[key] for row in of_kind] for key in ("weights", "table_bytes"))
        lines.append(
            f"| {name} | {min(weights):,} to {max(weights):,} | {min(sizes):,} to {max(sizes):,} "
            f"| {_cell(found, teachers)} | {len(found)} | {_seeds(found)} |"
        )
    return lines


TABLES = {
    "policy_distillation_teachers": policy_distillation_teachers,
    "policy_distillation_sizes": policy_distillation_sizes,
    "policy_distillation_several": policy_distillation_several,
    "policy_distillation_bytes": policy_distillation_bytes,
}
