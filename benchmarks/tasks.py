"""Five tasks of other people: sparse students beside dense ones of equal bytes, and their teachers.

A teacher of each task is trained by `sparsectl teach`, for as long as is said here and no longer;
students have the demo's recipe with a smaller budget. A dense student gets the bytes of tables that
the sparse one of its seed takes. All meet the same episodes, by which nothing was chosen. What is
finished is not run again. Teachers want the extra `jax`, LunarLander `gymnasium[box2d]`.

    python benchmarks/tasks.py [--tasks Pendulum-v1 Hopper-v5] [--seeds 0 1]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from measured import here, mark, returns_of, rounded

from sparsectl.commands.distill import distill
from sparsectl.common.files import read_json, write_json
from sparsectl.common.nested import replaced
from sparsectl.export.table_bytes import table_bytes
from sparsectl.policy.acting.onnx_network import OnnxNetwork
from sparsectl.policy.load import load_acting
from sparsectl.training.config import CollectConfig, DistillConfig, TeachConfig
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import mean_interval
from sparsectl.training.rollouts.intervals import crossed_figures, crossed_interval

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "tasks.json"

JSON = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        teach: settings of `sparsectl teach`.
        keep: weights of the sparse student, at most.
        students: settings of `sparsectl distill` for both kinds.
        transitions: of the dataset.
    """

    teach: JSON
    keep: int
    students: JSON = field(default_factory=dict)
    transitions: int = 50_000


SMALL: JSON = {"hidden": (64, 64), "learning_rate": 1e-3, "learning_starts": 1000}
"""Of a teacher that is learnt within minutes."""

TASKS: Mapping[str, Task] = {
    "Pendulum-v1": Task({**SMALL, "steps": 30_000, "evaluate_every": 3_000}, 60),
    "InvertedPendulum-v5": Task({**SMALL, "steps": 40_000, "evaluate_every": 4_000}, 30),
    "InvertedDoublePendulum-v5": Task(
        {**SMALL, "steps": 60_000, "hidden": (128, 128), "evaluate_every": 6_000}, 100
    ),
    "LunarLanderContinuous-v3": Task(
        {
            "steps": 300_000,
            "hidden": (128, 128),
            "learning_rate": 7.3e-4,
            "learning_rate_end": 0.0,
            "target_rate": 0.01,
            "learning_starts": 10_000,
            "evaluate_every": 20_000,
        },
        200,
    ),
    "Hopper-v5": Task(
        {
            "steps": 300_000,
            "hidden": (128, 128),
            "learning_rate": 5e-4,
            "learning_starts": 10_000,
            "evaluate_every": 15_000,
        },
        300,
    ),
}

TEACH: JSON = {
    "backend": "sbx",
    "updates_per_step": 1.0,
    "environments": 4,
    "evaluate_episodes": 20,
}

BUDGET: JSON = {
    "preset": "quick",
    "hidden": (32, 32),
    "steps": 2_000,
    "finetune.steps": 2_000,
    "finetune.newton_rows": 10_000,
    "dagger.transitions": 5_000,
    "evidence.episodes": 20,
}
"""A quarter of the demo's, or so."""

ROUNDS = 5
"""Fine-tunings after the first, of either kind."""


@dataclass(frozen=True)
class TasksConfig:
    """What to run."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """Of the five."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of dataset and students."""
    episodes: int = 300
    """That measure teacher and students."""
    workers: int = 1
    """Processes for the distillations' episodes."""
    out: Path = RESULTS
    """The results' file."""
    teachers: Path | None = None
    """Folder that has TASK/teacher.onnx already; without it teachers are trained."""
    transitions: int | None = None
    """Of the datasets, in place of the tasks'."""
    changes: str = "{}"
    """Settings of `distill` in place of the budget's, as JSON: for a tiny run."""
    runs: Path = ROOT / "runs" / "tasks"
    """Folder of the runs."""


def teacher_of(config: TasksConfig, name: str) -> Path:
    """The task's teacher, trained where it is not there yet."""
    if config.teachers is not None:
        return config.teachers / name / "teacher.onnx"
    path = config.runs / name / "teacher" / "teacher.onnx"
    if not (path.parent / "summary.json").is_file():
        from sparsectl.training.teachers.teach import teach  # torch, Stable-Baselines3 and JAX

        teach(TeachConfig(env=name, out=path.parent, **{**TEACH, **TASKS[name].teach}))
    return path


def students_of(config: TasksConfig, name: str, seed: int) -> list[JSON]:
    """A sparse student and a dense one of as many bytes."""
    task, teacher = TASKS[name], teacher_of(config, name)
    dataset = config.runs / name / f"dataset-{seed}.npz"
    if not dataset.is_file():
        transitions = config.transitions or task.transitions
        asked = CollectConfig(teacher, name, dataset, transitions, seed=seed)
        collect(replace(asked, workers=config.workers))
    shared = {**BUDGET, **task.students, **json.loads(config.changes)}
    sparse = config.runs / name / f"sparse-{seed}"
    rows = []
    for kind, folder in (("sparse", sparse), ("dense", sparse.with_name(f"dense-{seed}"))):
        path = folder / "result.json"
        if not path.is_file():
            target: JSON = {"keep": task.keep, "method": "bpd"}
            if kind == "dense":
                limit = table_bytes(sparse / "student.safetensors")
                target = {"table_bytes": limit, "method": "small", "finetune.rounds": ROUNDS}
            settings = DistillConfig(dataset, folder, env=name, teacher=teacher, seed=seed)
            given = {"workers": config.workers, **shared, **target}
            result = distill(replaced(settings, given))
            student = folder / "student.safetensors"
            row = {
                "task": name,
                "kind": kind,
                "seed": seed,
                "teacher": mark(teacher),
                "table_bytes": table_bytes(student),
                "returns": rounded(returns_of(student, name, config.episodes, folder)),
                **{key: result[key] for key in SIZES},
                "provenance": here(),
            }
            write_json(path, row)
        rows.append(read_json(path))
    return rows


KINDS = ("sparse", "dense")
NONE: JSON = {"students": []}

SIZES = (
    "kept_weights",
    "kept_parameters",
    "teacher_weights",
    "teacher_parameters",
    "seconds",
)


def main(config: TasksConfig) -> None:
    """Run what is missing and write all that is finished."""
    unknown = set(config.tasks) - set(TASKS)
    if unknown:
        sys.exit(f"no task {sorted(unknown)[0]!r}; use one of {', '.join(TASKS)}")
    for seed in config.seeds:
        for name in config.tasks:
            students_of(config, name, seed)
            gather(config)


def gather(config: TasksConfig) -> None:
    """Write the figures of every task that has students; those of other runs stay.

    Students that the file has already go where their teacher is another, or where one of their kind
    and seed has been made anew.
    """
    before = read_json(config.out)["tasks"] if config.out.is_file() else {}
    results = {}
    for name in TASKS:
        found = [read_json(path) for path in sorted((config.runs / name).glob("*/result.json"))]
        if not found:
            if name in before:
                results[name] = before[name]
            continue
        teacher = teacher_of(config, name)
        anew = {(row["kind"], row["seed"]) for row in found}
        kept = [row for kind in KINDS for row in before.get(name, {}).get(kind, NONE)["students"]]
        found += [row for row in kept if (row["kind"], row["seed"]) not in anew]
        found = [row for row in found if row["teacher"] == mark(teacher)]
        returns = returns_of(teacher, name, config.episodes, config.runs / name)
        low, high = mean_interval(returns)
        facts = {"mark": mark(teacher), **load_acting(teacher).facts(), "teach": taught(teacher)}
        figures = {"return_mean": float(returns.mean()), "return_low": low, "return_high": high}
        entry: JSON = {"teacher": {**facts, **figures, "returns": rounded(returns)}}
        kinds = {kind: [row for row in found if row["kind"] == kind] for kind in KINDS}
        for kind, rows in kinds.items():
            entry[kind] = {"figures": task_figures(rows, returns), "students": rows}
        entry["sparse_less_dense"] = difference(kinds, returns)
        results[name] = entry
    write_json(config.out, {"tasks": results})


def taught(teacher: Path) -> JSON:
    """Return the settings that a teacher's file names, and after how many steps it was kept."""
    provenance = json.loads(OnnxNetwork(teacher).metadata.get("sparsectl.provenance", "{}"))
    settings = {
        k: v for k, v in provenance.get("config", {}).items() if k not in ("out", "restart")
    }
    return {
        **settings,
        "best_after_steps": provenance.get("steps"),
        "revision": provenance.get("revision"),
    }


def task_figures(rows: list[JSON], teacher: np.ndarray[Any, Any]) -> JSON | None:
    """One kind's students beside the teacher."""
    if not rows:
        return None
    students = np.array([row["returns"] for row in rows])
    return crossed_figures(students, teacher[: students.shape[1]])


def difference(kinds: dict[str, list[JSON]], teacher: np.ndarray[Any, Any]) -> JSON | None:
    """Mean return of sparse less dense students, seed by seed and episode by episode."""
    seeds = [{row["seed"]: row["returns"] for row in rows} for rows in kinds.values()]
    both = sorted(set(seeds[0]) & set(seeds[1]))
    if not both:
        return None
    paired = np.array([np.subtract(seeds[0][seed], seeds[1][seed]) for seed in both])
    size = abs(float(teacher.mean())) or 1.0

    def mean(rows: np.ndarray[Any, Any], _: np.ndarray[Any, Any]) -> float:
        return float(rows.mean() / size)

    low, high = crossed_interval(mean, paired, teacher[: paired.shape[1]])
    return {"seeds": len(both), "difference": mean(paired, teacher), "low": low, "high": high}


if __name__ == "__main__":
    main(tyro.cli(TasksConfig))
