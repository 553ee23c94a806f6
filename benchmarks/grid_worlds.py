"""The methods of Distilling Policy Distillation in a thousand random grid worlds, with intervals.

Each method meets the same worlds, teachers and numbers of trajectories; what its student returns
is solved exactly, as a share of the way from moving at random (0) to the teacher (1). Each method's
step size is the best of a list on worlds that no table is made of: the largest mean share over all
marks, which stand at equal ratios. Finished worlds are kept in --out, one after the other with all
methods, and the same command resumes from there.

    python benchmarks/grid_worlds.py --tune [--experiments NAME ...]
    python benchmarks/grid_worlds.py [--experiments NAME ...] [--worlds N] [--write]
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from grid_world_experiments import EXPERIMENTS, Experiment, prepared
from grid_world_summary import printed, score, summary

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.training.rollouts.episodes import one_thread
from sparsectl.training.trajectory.distillation import distilled
from sparsectl.training.trajectory.evaluation import average_reward, divergence, expected_return
from sparsectl.training.trajectory.grid_worlds import GridWorld
from sparsectl.training.trajectory.methods import ALL

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "grid_worlds.json"
SOURCES = sorted((ROOT / "training" / "trajectory").glob("*.py"))

FIRST_TUNING_WORLD = 1_000_000
"""Worlds from this seed on choose step sizes, those below are reported."""

Rates = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class GridWorldsConfig:
    """Compare the methods in random worlds."""

    experiments: tuple[str, ...] = ("methods",)
    """Which of them; `all` for every one."""
    worlds: int | None = None
    """In place of the experiment's own number."""
    trajectories: int | None = None
    """Of each student, in place of the experiment's own number."""
    processes: int = 1
    out: Path = Path("runs/grid_worlds")
    """Where finished worlds are kept."""
    results: Path = RESULTS
    """Step sizes are read there, and written there with --tune; --write adds the summary."""
    tune: bool = False
    """Choose the step sizes, in place of a comparison."""
    write: bool = False
    """Write the summary of the worlds that are finished."""


def marks_to(last: int) -> tuple[int, ...]:
    """Numbers of trajectories at equal ratios, four a factor of ten."""
    steps = int(np.floor(4 * np.log10(last) + 1e-9))
    return tuple(sorted({0, *(round(10 ** (k / 4)) for k in range(steps + 1)), last}))


def worth(experiment: Experiment, world: GridWorld, policy: Any) -> float:
    """What a policy is judged by: its expected return, or its average reward where nothing ends."""
    judged = average_reward if experiment.segment else expected_return
    return judged(world, policy)


def one_world(name: str, seed: int, rates: Rates, marks: tuple[int, ...]) -> dict[str, Any]:
    """All methods in one world: returns and seconds of the processor by method."""
    experiment = EXPERIMENTS[name]
    began = time.process_time()
    world, teacher, value = prepared(experiment, seed)
    acting = replace(world, ending=0.0) if experiment.segment else world
    even = np.full_like(teacher, 1 / world.actions)
    found: dict[str, Any] = {
        "seed": seed,
        "teacher": worth(experiment, world, teacher),
        "even": worth(experiment, world, even),
        "returns": {},
        "seconds": {"teacher": time.process_time() - began},
    }
    if experiment.equal:
        found["divergences"] = {}
    for number, method in enumerate(experiment.methods):
        began = time.process_time()
        curves, divergences = [], []
        for rate in rates[method]:
            students = distilled(
                ALL[method],
                acting,
                teacher,
                value,
                rate,
                marks,
                seed=seed * 100 + number,
                segment=experiment.segment,
            )
            curves.append([worth(experiment, world, student) for student in students])
            if experiment.equal:
                divergences.append(
                    [
                        [divergence(world, teacher, s, along) for along in (teacher, s, even)]
                        for s in students
                    ]
                )
        found["returns"][method] = curves
        if experiment.equal:
            found["divergences"][method] = divergences
        found["seconds"][method] = time.process_time() - began
    return found


def finished(path: Path, asked: str) -> dict[int, dict[str, Any]]:
    """The worlds in a file that an earlier run began, where it was asked the same."""
    done: dict[int, dict[str, Any]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if lines and lines[0] == asked:
        for line in lines[1:]:
            try:
                world = json.loads(line)
            except ValueError:  # the process died in the midst of it
                continue
            done[world["seed"]] = world
    return done


def all_worlds(
    config: GridWorldsConfig, name: str, seeds: range, rates: Rates, marks: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Every world once; what an earlier run has finished is read."""
    label = "tuning" if config.tune else "worlds"
    path = config.out / f"{name.replace(' ', '_')}.{label}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    source = hashlib.sha256(b"".join(file.read_bytes() for file in SOURCES)).hexdigest()
    settings = str(replace(EXPERIMENTS[name], worlds=0))
    asked = json.dumps({"rates": rates, "marks": marks, "settings": settings, "source": source})
    done = finished(path, asked)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in (asked, *map(json.dumps, done.values())))
        file.flush()
        left = [seed for seed in seeds if seed not in done]
        with Progress(
            total=len(seeds), initial=len(seeds) - len(left), desc=name, unit="world"
        ) as bar:
            for world in computed(config.processes, name, left, rates, marks):
                done[world["seed"]] = world
                file.write(json.dumps(world) + "\n")
                file.flush()
                bar.update()
    return [done[seed] for seed in seeds]


def computed(
    processes: int, name: str, seeds: list[int], rates: Rates, marks: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """World after world, in this process or in several."""
    if processes == 1:
        for seed in seeds:
            yield one_world(name, seed, rates, marks)
        return
    context = multiprocessing.get_context("spawn")
    with one_thread(), ProcessPoolExecutor(processes, context) as pool:
        waiting = [pool.submit(one_world, name, seed, rates, marks) for seed in seeds]
        for future in waiting:
            yield future.result()


def tuned(config: GridWorldsConfig, name: str, marks: tuple[int, ...]) -> dict[str, float]:
    """Each method's best step size."""
    experiment = EXPERIMENTS[name]
    number = config.worlds or experiment.tuning
    seeds = range(FIRST_TUNING_WORLD, FIRST_TUNING_WORLD + number)
    rates = dict.fromkeys(experiment.methods, experiment.rates)
    worlds = all_worlds(config, name, seeds, rates, marks)
    return {
        method: experiment.rates[int(np.argmax(score(worlds, method, len(experiment.rates))))]
        for method in experiment.methods
    }


def rates_of(name: str, results: dict[str, Any]) -> Rates:
    """At which step sizes an experiment is reported."""
    experiment = EXPERIMENTS[name]
    if experiment.equal:
        return dict.fromkeys(experiment.methods, experiment.rates)
    source = name if experiment.tuning else experiment.rates_of
    if source not in results["rates"]:
        raise UserError(
            f"{source} has no step sizes yet; run --tune --experiments '{source}' first"
        )
    return {method: (results["rates"][source][method],) for method in experiment.methods}


def main(config: GridWorldsConfig) -> None:
    names = tuple(EXPERIMENTS) if "all" in config.experiments else config.experiments
    unknown = sorted(set(names) - set(EXPERIMENTS))
    if unknown:
        raise UserError(f"no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    empty: dict[str, Any] = {"rates": {}, "experiments": {}}
    for name in names:
        experiment = EXPERIMENTS[name]
        marks = marks_to(config.trajectories or experiment.trajectories)
        if config.tune:
            if experiment.tuning:
                chosen = tuned(config, name, marks)
                results = read_json(config.results) if config.results.exists() else empty
                results["rates"][name] = chosen
                write_json(config.results, results)
                print(name, chosen)
            continue
        results = read_json(config.results) if config.results.exists() else empty
        seeds = range(experiment.worlds if config.worlds is None else config.worlds)
        rates = rates_of(name, results)
        found = summary(all_worlds(config, name, seeds, rates, marks), experiment, rates, marks)
        printed(name, found)
        if config.write:
            results = read_json(config.results)
            results["experiments"][name] = found | {"provenance": provenance()}
            write_json(config.results, results)


if __name__ == "__main__":
    main(tyro.cli(GridWorldsConfig))
