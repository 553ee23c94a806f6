"""The methods of Distilling Policy Distillation in a thousand random grid worlds, with intervals.

Each method meets the same worlds, teachers and numbers of trajectories; what its student returns
is solved exactly, as a share of the way from moving at random (0) to the teacher (1). Each method's
step size is the best of a list on worlds that no table is made of: the largest mean share over all
marks, which stand at equal ratios. Finished worlds are kept in --out, and the same command goes on
from there.

    python benchmarks/grid_worlds.py --tune
    python benchmarks/grid_worlds.py [--experiments NAME ...] [--worlds N] [--write]
"""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.training.rollouts.episodes import one_thread
from sparsectl.training.rollouts.intervals import mean_interval
from sparsectl.training.trajectory.distillation import distilled
from sparsectl.training.trajectory.evaluation import expected_return, values
from sparsectl.training.trajectory.grid_worlds import GridWorld, random_world
from sparsectl.training.trajectory.methods import ALL, METHODS
from sparsectl.training.trajectory.q_learning import noisy_greedy, q_learning

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "grid_worlds.json"
FIGURE = ROOT / "docs" / "grid_worlds.svg"

FIRST_TUNING_WORLD = 1_000_000
"""Worlds from this seed on choose step sizes, those below are reported."""
TUNING_WORLDS = 24
RATES = tuple(float(10 ** (k / 2)) for k in range(-12, 1))
"""10⁻⁶ … 1, two a decade."""

REACHED = 0.95
"""Share of the teacher's return, from that of random moves, at which it counts as recovered."""


@dataclass(frozen=True)
class Experiment:
    """Worlds, a teacher, and the methods that are compared there."""

    methods: tuple[str, ...]
    title: str
    noise: float = 0.1
    """Of the teacher: the probability that its action is any."""
    adverse: bool = False
    """The teacher has learnt to lose: rewards changed their sign."""
    actions: int = 4
    view: int | None = None
    restarts: bool = True
    least: float = 1.0
    """Worlds where teacher and random moves are closer than this are drawn anew: there is nothing
    to be learnt."""


CONTROL = ("teacher distill", "on-policy distill", "mixture distill", "uniform distill")
REWARDED = (
    "entropy regularised",
    "N-distill",
    "expected entropy regularised",
    "teacher V reward",
    "teacher V shaping",
    "policy gradient",
)
EXPERIMENTS = {
    "methods": Experiment((*CONTROL, *REWARDED), "Teacher: greedy, 10 % noise"),
    "noisy teacher": Experiment(
        (*METHODS, "teacher V shaping", "policy gradient"), "Teacher: 25 % noise", noise=0.25
    ),
    "adverse teacher": Experiment(
        (*METHODS, "teacher V shaping", "policy gradient"),
        "Teacher that learnt to lose",
        adverse=True,
    ),
    "partial view": Experiment(
        (*METHODS, "teacher V shaping"), "The student sees 3 x 3 cells", view=1
    ),
    "episodes end": Experiment(
        (*METHODS, "teacher V shaping"), "Goals and pits end the episode", restarts=False
    ),
    "actions 32": Experiment(("on-policy distill", *REWARDED[:3]), "32 actions", actions=32),
    "actions 256": Experiment(("on-policy distill", *REWARDED[:3]), "256 actions", actions=256),
}


@dataclass(frozen=True)
class GridWorldsConfig:
    """Compare the methods in random worlds."""

    experiments: tuple[str, ...] = ("methods",)
    """Which of them."""
    worlds: int = 1000
    trajectories: int = 30_000
    """Of each student."""
    processes: int = 2
    out: Path = Path("runs/grid_worlds")
    """Where finished worlds are kept."""
    tune: bool = False
    """Choose the step sizes and write them into the results, in place of a comparison."""
    write: bool = False
    """Write the results and the figure."""


def marks_to(last: int) -> tuple[int, ...]:
    """Numbers of trajectories at equal ratios, two a factor of ten."""
    steps = int(np.floor(2 * np.log10(last) + 1e-9))
    return tuple(sorted({0, *(round(10 ** (k / 2)) for k in range(2, steps + 1)), last}))


def prepared(experiment: Experiment, seed: int) -> tuple[GridWorld, Any, Any, float, float]:
    """A world, its teacher and V_π, and the returns of the teacher and of random moves."""
    for draw in range(100):
        random = np.random.default_rng((seed, draw))
        world = random_world(random, view=experiment.view)
        world = replace(world, restarts=experiment.restarts).with_actions(experiment.actions)
        learnt = replace(world, reward=-world.reward) if experiment.adverse else world
        optimism = 100.0 if experiment.restarts else 10.0
        teacher = noisy_greedy(q_learning(learnt, seed, optimism=optimism), experiment.noise)
        value = values(world, teacher)
        even = expected_return(world, np.full_like(teacher, 1 / world.actions))
        if abs(value[world.start] - even) >= experiment.least:
            return world, teacher, value, float(value[world.start]), even
    raise UserError(f"a hundred worlds of seed {seed} have nothing to be learnt; change Chances")


def one_world(
    name: str, seed: int, rates: dict[str, tuple[float, ...]], marks: tuple[int, ...]
) -> dict[str, Any]:
    """All methods in one world: returns {method: [rates][marks]}."""
    experiment = EXPERIMENTS[name]
    world, teacher, value, best, even = prepared(experiment, seed)
    curves: dict[str, list[list[float]]] = {}
    for number, method in enumerate(experiment.methods):
        curves[method] = []
        for rate in rates[method]:
            students = distilled(
                ALL[method], world, teacher, value, rate, marks, seed=seed * 100 + number
            )
            curves[method].append([expected_return(world, student) for student in students])
    return {"seed": seed, "teacher": best, "even": even, "returns": curves}


def all_worlds(
    config: GridWorldsConfig,
    name: str,
    seeds: range,
    rates: dict[str, tuple[float, ...]],
    marks: tuple[int, ...],
) -> list[dict[str, Any]]:
    """Every world once; what an earlier run has finished is read."""
    label = "tuning" if config.tune else "worlds"
    path = config.out / f"{name.replace(' ', '_')}.{label}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    asked = json.dumps({"rates": rates, "marks": marks, "settings": str(EXPERIMENTS[name])})
    done: dict[int, dict[str, Any]] = {}
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        if lines and lines[0] == asked:
            for line in lines[1:]:
                try:
                    world = json.loads(line)
                except ValueError:  # the process died in the midst of it
                    continue
                done[world["seed"]] = world
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in (asked, *map(json.dumps, done.values())))
    left = [seed for seed in seeds if seed not in done]
    with (
        one_thread(),
        ProcessPoolExecutor(config.processes, multiprocessing.get_context("spawn")) as pool,
        path.open("a", encoding="utf-8") as file,
        Progress(total=len(seeds), initial=len(seeds) - len(left), desc=name, unit="world") as bar,
    ):
        waiting = [pool.submit(one_world, name, seed, rates, marks) for seed in left]
        for future in waiting:
            world = future.result()
            done[world["seed"]] = world
            file.write(json.dumps(world) + "\n")
            file.flush()
            bar.update()
    return [done[seed] for seed in seeds]


def shares(worlds: list[dict[str, Any]], method: str, rate: int = 0, adverse: bool = False) -> Any:
    """Share of the way from random moves to the teacher, [worlds, marks].

    Beside an adverse teacher the measure is the distance itself, so that the teacher is at −1.
    """
    teacher = np.array([world["teacher"] for world in worlds])[:, None]
    even = np.array([world["even"] for world in worlds])[:, None]
    returns = np.array([world["returns"][method][rate] for world in worlds])
    size = np.abs(teacher - even) if adverse else teacher - even
    return (returns - even) / size


def tuned(config: GridWorldsConfig, name: str, marks: tuple[int, ...]) -> dict[str, float]:
    """Each method's best step size."""
    experiment = EXPERIMENTS[name]
    seeds = range(FIRST_TUNING_WORLD, FIRST_TUNING_WORLD + TUNING_WORLDS)
    rates = dict.fromkeys(experiment.methods, RATES)
    worlds = all_worlds(config, name, seeds, rates, marks)
    best: dict[str, float] = {}
    for method in experiment.methods:
        score = [
            float(np.clip(shares(worlds, method, k, experiment.adverse), -2, 2).mean())
            for k in range(len(RATES))
        ]
        best[method] = RATES[int(np.argmax(score))]
    return best


def recovered_at(share: Any, marks: tuple[int, ...]) -> Any:
    """Trajectories until the student first has the wanted share; infinity where it never has."""
    met = share >= REACHED
    return np.where(met.any(axis=1), np.array(marks, float)[met.argmax(axis=1)], np.inf)


def summary(
    worlds: list[dict[str, Any]],
    experiment: Experiment,
    rates: dict[str, float],
    marks: tuple[int, ...],
) -> dict[str, Any]:
    """Means with 95 % intervals over worlds at every mark, and how long recovery took."""
    rows = {}
    for method in experiment.methods:
        share = shares(worlds, method, 0, experiment.adverse)
        intervals = [mean_interval(column) for column in share.T]
        at = recovered_at(share, marks)
        rows[method] = {
            "rate": rates[method],
            "share": [float(value) for value in share.mean(axis=0)],
            "low": [low for low, _ in intervals],
            "high": [high for _, high in intervals],
            "recovered": float(np.isfinite(at).mean()),
            "recovered_median": float(np.median(at)) if np.isfinite(np.median(at)) else None,
        }
    result: dict[str, Any] = {
        "title": experiment.title,
        "worlds": len(worlds),
        "marks": list(marks),
        "teacher_return": float(np.mean([world["teacher"] for world in worlds])),
        "random_return": float(np.mean([world["even"] for world in worlds])),
        "rows": rows,
    }
    if "teacher distill" in rows and "on-policy distill" in rows:
        result["ratio"] = ratio(worlds, experiment, marks)
    return result


def ratio(
    worlds: list[dict[str, Any]], experiment: Experiment, marks: tuple[int, ...]
) -> dict[str, float]:
    """How many times as many trajectories teacher-driven distillation takes as student-driven.

    Between two marks the share is interpolated, trajectories on a logarithmic scale; a student
    that never has it counts with the last mark, which makes the ratio smaller than it is.
    """
    logs = {}
    for method in ("teacher distill", "on-policy distill"):
        share = np.maximum.accumulate(shares(worlds, method, 0, experiment.adverse), axis=1)
        scale = np.log(np.maximum(marks, 1))
        logs[method] = np.array(
            [scale[-1] if row[-1] < REACHED else np.interp(REACHED, row, scale) for row in share]
        )
    difference = logs["teacher distill"] - logs["on-policy distill"]
    low, high = mean_interval(difference)
    return {
        "ratio": float(np.exp(difference.mean())),
        "ratio_low": float(np.exp(low)),
        "ratio_high": float(np.exp(high)),
    }


def draw(results: dict[str, Any]) -> None:
    """The curves with their intervals, an experiment a panel."""
    from matplotlib.figure import Figure

    names = [name for name in EXPERIMENTS if name in results]
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.4 * lines), layout="constrained")
    colours = {method: f"C{number}" for number, method in enumerate(ALL)}
    shown: dict[str, Any] = {}
    for number, name in enumerate(names):
        found = results[name]
        axes = figure.add_subplot(lines, columns, number + 1)
        for method, row in found["rows"].items():
            marks = np.maximum(found["marks"], 1)
            (line,) = axes.plot(marks, row["share"], color=colours[method], linewidth=1.4)
            axes.fill_between(marks, row["low"], row["high"], color=colours[method], alpha=0.2)
            shown[method] = line
        axes.set_xscale("log")
        axes.set_ylim(-1.05 if EXPERIMENTS[name].adverse else -0.3, 1.3)
        axes.axhline(-1 if EXPERIMENTS[name].adverse else 1, color="0.6", linewidth=0.8)
        axes.set_title(f"{found['title']}, {found['worlds']} worlds", fontsize=9)
        axes.set_xlabel("trajectories")
        axes.set_ylabel("return (random 0, teacher 1)", fontsize=8)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(FIGURE, metadata={"Date": None})


def printed(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}: {found['title']}, {found['worlds']} worlds")
    looks = [k for k, mark in enumerate(found["marks"]) if mark in (100, 1000, 10_000, 30_000)]
    for method, row in found["rows"].items():
        cells = [
            f"{row['share'][k]:6.2f} [{row['low'][k]:.2f}, {row['high'][k]:.2f}]" for k in looks
        ]
        median = row["recovered_median"]
        print(
            f"{method:30s} rate {row['rate']:8.1e} ",
            *cells,
            f" 95 % of the teacher in {100 * row['recovered']:.0f} % of worlds, median "
            f"{'never' if median is None else f'{median:.0f}'}",
        )
    if "ratio" in found:
        print(
            "teacher-driven takes {ratio:.2f} [{ratio_low:.2f}, {ratio_high:.2f}] times the "
            "trajectories of student-driven".format(**found["ratio"])
        )


def main(config: GridWorldsConfig) -> None:
    unknown = set(config.experiments) - set(EXPERIMENTS)
    if unknown:
        raise UserError(f"no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    marks = marks_to(config.trajectories)
    results = read_json(RESULTS) if RESULTS.exists() else {"rates": {}, "experiments": {}}
    for name in config.experiments:
        if config.tune:
            results["rates"][name] = tuned(config, name, marks)
            print(name, results["rates"][name])
            write_json(RESULTS, results)
            continue
        rates = results["rates"].get(name)
        if rates is None:
            raise UserError(f"{name} has no step sizes yet; run with --tune first")
        worlds = all_worlds(
            config,
            name,
            range(config.worlds),
            {method: (rate,) for method, rate in rates.items()},
            marks,
        )
        found = summary(worlds, EXPERIMENTS[name], rates, marks)
        printed(name, found)
        if config.write:
            results["experiments"][name] = found | {"provenance": provenance()}
            write_json(RESULTS, results)
            draw(results["experiments"])


if __name__ == "__main__":
    main(tyro.cli(GridWorldsConfig))
