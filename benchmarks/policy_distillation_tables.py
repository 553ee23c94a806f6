"""The documentation's tables of Policy Distillation, from results/policy_distillation.json and
results/joint_learning.json."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sparsectl.common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results" / "policy_distillation.json"
FORMER = RESULTS.with_name("policy_distillation_former.json")
"""Students of the former teachers, which had 200,000 to 1,000,000 frames: several games in one
network, what learnt them jointly, and fixed bytes."""
JOINT = RESULTS.with_name("joint_learning.json")

TEACHERS = RESULTS.parent.parent.parent / "training" / "teachers"
CHANCE = "by_chance"
"""Of a results file: the returns of a player that takes every choice equally often."""

JSON = dict[str, Any]
Returns = dict[str, list[list[float]]]
"""Of each game, those of each seed's student."""

RESAMPLES = 2_000
LEAST_SCORE = 1e-9
"""So that a score of 0 has a logarithm."""
ALL_GAMES = 5
"""Of MinAtar."""
LOSSES = {"kl": "KL", "nll": "NLL", "mse": "MSE"}
PAPER = {("kl", 25): 1.083, ("kl", 7): 1.017, ("kl", 4): 0.839}
"""Geometric means over ten games of Atari; of small networks it has KL's alone."""
LEAST_GAMES, LEAST_SEEDS = 3, 2
"""Without so many there is no verdict."""
TOO_FEW = f"open: fewer than {LEAST_GAMES} games or {LEAST_SEEDS} seeds"
PAPER_SEVERAL = {"kl": "116.9 %", "nll": "105.1 %"}
PAPER_JOINT = "83.5 %, of a DQN"


def share(students: Returns, teachers: dict[str, list[float]]) -> tuple[float, float, float]:
    """Geometric mean over the games of the students' share of their teacher's score, and its
    interval of 95 %."""
    return ratio(students, {game: [teachers[game]] for game in students})


def ratio(firsts: Returns, seconds: Returns) -> tuple[float, float, float]:
    """Geometric mean over the games of the first ones' mean score over the second ones', and its
    interval of 95 %.

    Variances of the logarithms come from a bootstrap over seeds and from one over each one's
    episodes; the quantile is Student's with the degrees of freedom of Welch and Satterthwaite, as
    in `crossed_interval`, since two or three seeds say little of their spread. A single seed's part
    is over its episodes alone.
    """
    random, value, parts = np.random.default_rng(0), 0.0, []
    for game, seeds in firsts.items():
        for side, sign in ((seeds, 1), (seconds[game], -1)):
            mean, of_seeds, of_episodes = _log_mean(side, random)
            value += sign * mean / len(firsts)
            parts.append((of_seeds / len(firsts) ** 2, len(side) - 1))
            episodes = sum(len(returns) - 1 for returns in side)
            parts.append((of_episodes / len(firsts) ** 2, episodes))
    total = sum(variance for variance, _ in parts)
    half = 0.0
    if total:
        spent = sum(variance**2 / freedom for variance, freedom in parts if variance)
        half = float(scipy.stats.t.ppf(0.975, total**2 / spent)) * total**0.5
    low, middle, high = np.exp([value - half, value, value + half])
    return float(middle), float(low), float(high)


def _log_mean(seeds: list[list[float]], random: np.random.Generator) -> tuple[float, float, float]:
    """The logarithm of seeds' mean return, and its variances by seeds and by episodes."""

    def drawn(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """[RESAMPLES] means of samples as large."""
        rows = random.integers(len(values), size=(RESAMPLES, len(values)))
        return np.asarray(values[rows].mean(axis=1))

    def log(values: Any) -> Any:
        return np.log(np.maximum(values, LEAST_SCORE))

    count, means = len(seeds), np.array([np.mean(returns) for returns in seeds])
    of_episodes = np.mean([drawn(np.asarray(returns)) for returns in seeds], axis=0)
    of_seeds = 0.0
    if count > 1:  # a sample of n has n - 1 nths of the spread that it is drawn from
        of_seeds = float(np.var(log(drawn(means)), ddof=1)) * count / (count - 1)
    return float(log(means.mean())), of_seeds, float(np.var(log(of_episodes), ddof=1))


def _rows(results: Path) -> tuple[list[JSON], dict[str, list[float]]]:
    found = read_json(results)
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
    return _range([len(seeds) for seeds in found.values()])


def _episodes(found: Returns) -> str:
    """Of each student."""
    return _range([len(returns) for seeds in found.values() for returns in seeds])


def _range(counts: list[int]) -> str:
    ends = (min(counts, default=0), max(counts, default=0))
    return " to ".join(map(str, dict.fromkeys(ends)))


def policy_distillation_teachers() -> list[str]:
    """What the teachers score, and what a player scores that takes every choice equally often."""
    head = ["game", "taught by", "its frames", "teacher's score", "by chance", "episodes"]
    lines = [head, ["---"] * len(head)]
    found: JSON = {CHANCE: {}} | read_json(RESULTS)
    for game, returns in found["teachers"].items():
        origin = read_json(TEACHERS / f"minatar_{game}.json")
        frames, chance = f"{origin['steps']:,}", found[CHANCE].get(game)
        by_chance = "–" if chance is None else f"{np.mean(chance):.1f}"
        score = f"{np.mean(returns):.1f}"
        algo = origin["config"]["algo"].upper()
        lines.append([game, algo, frames, score, by_chance, str(len(returns))])
    return [f"| {' | '.join(line)} |" for line in lines]


def policy_distillation_sizes() -> list[str]:
    """A row a loss and size: the share of the teachers' scores, over all games that are there."""
    rows, teachers = _rows(RESULTS)
    lines = [
        "| loss | size | weights | share of teachers' score | games | seeds | episodes | paper "
        "| verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    single = [row for row in rows if row["kind"] == "single"]
    for loss, size in sorted({(row["loss"], row["size"]) for row in single}, key=_order):
        of_these = [row for row in single if (row["loss"], row["size"]) == (loss, size)]
        found = _gathered(of_these, lambda row: True)
        weights = f"{min(r['weights'] for r in of_these):,}"
        lines.append(
            f"| {LOSSES[loss]} | {size} % | from {weights} | {_cell(found, teachers)} "
            f"| {len(found)} | {_seeds(found)} | {_episodes(found)} "
            f"| {_paper(found, teachers, (loss, size))} |"
        )
    return lines


def _paper(found: Returns, teachers: dict[str, list[float]], key: tuple[str, int]) -> str:
    """The paper's share, and whether ours has it."""
    paper = PAPER.get(key)
    if paper is None:
        return "– | –"
    if not _known(found):
        return f"{paper:.1%} | open"
    _, low, high = share(found, teachers)
    return f"{paper:.1%} | " + (
        "not reproduced"
        if high < paper
        else "better"
        if low > paper
        else "compatible: it lies within"
    )


def _order(pair: tuple[str, int]) -> tuple[int, int]:
    return list(LOSSES).index(pair[0]), -pair[1]


def _whose() -> dict[str, Path]:
    """Results by the teachers that they are of."""
    return {"today's": RESULTS, "former": FORMER}


def _joint(results: Path) -> list[JSON]:
    """Networks that learnt several games jointly, from as many frames as the teachers of these
    results or fewer."""
    if results == FORMER:
        return list(read_json(FORMER).get("joint", []))
    return list(read_json(JOINT)["rows"]) if JOINT.exists() else []


def policy_distillation_several() -> list[str]:
    """A row a loss: several games in one network of one teacher's size; then the networks of that
    size that learnt the games jointly."""
    lines = [
        "| games | teachers | one network | frames of the games | score, share of the teachers' "
        "| seeds | episodes | paper, three games |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for whose, results in _whose().items():
        rows, teachers = _rows(results)
        several = [row for row in rows if row["kind"] == "several"]
        for games, loss in sorted({(tuple(row["games"]), row["loss"]) for row in several}):
            found = _of(several, games=list(games), loss=loss)
            paper = PAPER_SEVERAL.get(loss, "–") if len(games) == 3 else "–"
            lines.append(
                f"| {len(games)} | {whose} | student, {LOSSES[loss]} | the teachers' "
                f"| {_cell(found, teachers)} | {_seeds(found)} | {_episodes(found)} | {paper} |"
            )
        joint = _joint(results)
        for games, algo, frames in sorted(
            {(tuple(row["games"]), row["algo"], row["frames"]) for row in joint}
        ):
            found = _of(joint, games=list(games), algo=algo, frames=frames)
            paper = PAPER_JOINT if len(games) == 3 else "–"
            lines.append(
                f"| {len(games)} | {whose} | learnt jointly, {algo.upper()} | {frames:,} "
                f"| {_cell(found, teachers)} | {_seeds(found)} | {_episodes(found)} | {paper} |"
            )
    return lines


def policy_distillation_bytes() -> list[str]:
    """Sparse students beside small dense ones of the same bytes, by KL."""
    lines = [
        "| bytes of tables | teachers | student | weights | score, share of the teachers' "
        "| chooses otherwise | games | seeds | episodes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for whose, results in _whose().items():
        rows, teachers = _rows(results)
        for kept, kind in product(_kept(rows), ("sparse", "small")):
            of_these = [row for row in rows if row["kind"] == kind and row["size"] == kept]
            if not of_these:
                continue
            found = _gathered(of_these, lambda row: True)
            weights, sizes = ([row[key] for row in of_these] for key in ("weights", "table_bytes"))
            other = np.mean([row["other_choices"] for row in of_these])
            name = f"sparse, {kept:g} %" if kind == "sparse" else "small and dense"
            lines.append(
                f"| {min(sizes):,} to {max(sizes):,} | {whose} | {name} "
                f"| {min(weights):,} to {max(weights):,} | {_cell(found, teachers)} | {other:.1%} "
                f"| {len(found)} | {_seeds(found)} | {_episodes(found)} |"
            )
    return lines


def _kept(rows: list[JSON]) -> list[float]:
    """Per cent of the weights in the sparse students, the most first."""
    return sorted({row["size"] for row in rows if row["kind"] == "sparse"}, reverse=True)


def _several(rows: list[JSON]) -> list[list[str]]:
    """Return the games of the students of several, each set of them once, the fewest first."""
    sets = {tuple(row["games"]) for row in rows if row["kind"] == "several"}
    return [list(games) for games in sorted(sets, key=lambda games: (len(games), games))]


def _of(rows: list[JSON], **wanted: Any) -> Returns:
    return _gathered(rows, lambda row: all(row.get(key) == wanted[key] for key in wanted))


def _spread(found: tuple[float, float, float]) -> str:
    return "{:.1%} [{:.1%}, {:.1%}]".format(*found)


def _counted(*sides: Returns) -> str:
    """How many games, and how many seeds of each side."""
    seeds = " and ".join(dict.fromkeys(_seeds(each) for each in sides))
    return f"{len(sides[0])} games of {ALL_GAMES}, seeds: {seeds}"


def _known(*sides: Returns) -> bool:
    """Return whether there are games and seeds enough for a verdict."""
    return all(
        len(each) >= LEAST_GAMES and min(map(len, each.values())) >= LEAST_SEEDS for each in sides
    )


def _against(mark: float, found: tuple[float, float, float]) -> str:
    """A verdict by the interval's side of a mark."""
    value, low, high = found
    if low >= mark:
        return "met"
    if high < mark:
        return "missed"
    return f"open: the interval has {mark:.0%} in it"


def _over(found: tuple[float, float, float]) -> str:
    """A verdict by the interval's side of 1, of a claim that the first is better."""
    _, low, high = found
    return "reproduced" if low > 1 else "refuted here" if high < 1 else "open: it has 100 % in it"


def _marks(rows: list[JSON], teachers: dict[str, list[float]], whose: str) -> list[list[str]]:
    """What students have to reach of their teachers' score; `whose` students, in words."""
    wanted = [
        ("KL students of 25 % of the weights", 1.0, _of(rows, kind="single", loss="kl", size=25)),
        ("KL students of 7 % of the weights", 0.95, _of(rows, kind="single", loss="kl", size=7)),
        *(
            (
                f"sparse KL students of {kept:g} % of the weights",
                0.95,
                _of(rows, kind="sparse", size=kept),
            )
            for kept in _kept(rows)
            if kept <= 2
        ),
        *(
            (
                f"{len(games)} games in one network of one teacher's size, KL",
                0.95,
                _of(rows, kind="several", loss="kl", games=games),
            )
            for games in _several(rows)
        ),
    ]
    lines = []
    for name, mark, found in wanted:
        if found:
            value = share(found, teachers)
            claim = f"{name}{whose}: {mark:.0%} of their teachers"
            cells = [claim, _spread(value), _counted(found)]
            lines.append([*cells, _against(mark, value) if _known(found) else TOO_FEW])
    return lines


def _pairs(results: Path, of: str) -> list[tuple[str, Returns, Returns]]:
    """What is claimed to score more than what; `of` which students, in words."""
    rows, joint = _rows(results)[0], _joint(results)
    found: list[tuple[str, Returns, Returns]] = []
    sizes = sorted({row["size"] for row in rows if row["kind"] == "single"}, reverse=True)
    for (first, second), size in product((("kl", "nll"), ("nll", "mse"), ("kl", "mse")), sizes):
        one, other = (_of(rows, kind="single", loss=x, size=size) for x in (first, second))
        found.append((f"{LOSSES[first]} over {LOSSES[second]}, {size} %{of}", one, other))
    for games, frames in sorted({(tuple(row["games"]), row["frames"]) for row in joint}):
        mine = _of(joint, frames=frames, games=list(games))
        name = f"A KL student of {len(games)} games over one that learnt jointly, {frames:,} frames"
        students = _of(rows, kind="several", loss="kl", games=list(games))
        found.append((f"{name}{of}", students, mine))
    for kept in _kept(rows):
        one, other = (_of(rows, kind=kind, size=kept) for kind in ("sparse", "small"))
        found.append((f"Sparse of {kept:g} % over small and dense of its bytes{of}", one, other))
    return found


def policy_distillation_marks() -> list[str]:
    """Marks and claims, what was found and a verdict that follows from the interval."""
    lines = []
    of_both = ((RESULTS, ""), (FORMER, ", of the former teachers"))
    for results, of in of_both:
        lines += _marks(*_rows(results), of)
    for results, of in of_both:
        for name, first, second in _pairs(results, of):
            games = first.keys() & second.keys()
            if games:
                pair = [{game: each[game] for game in sorted(games)} for each in (first, second)]
                value = ratio(*pair)
                verdict = _over(value) if _known(*pair) else TOO_FEW
                lines.append([name, _spread(value), _counted(*pair), verdict])
    head = ["mark or claim", "found, 95 % interval", "from", "verdict"]
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]


TABLES = {
    "policy_distillation_marks": policy_distillation_marks,
    "policy_distillation_teachers": policy_distillation_teachers,
    "policy_distillation_sizes": policy_distillation_sizes,
    "policy_distillation_several": policy_distillation_several,
    "policy_distillation_bytes": policy_distillation_bytes,
}
