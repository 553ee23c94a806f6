"""Gather the students of a sweep of methods.toml, beside their teacher: results/methods_RIG.json.

Returns are those of the same 2,000 episodes for teacher and students, which chose neither a student
nor a setting. Rows that were gathered before stay, but those of another teacher.

    sparsectl sweep benchmarks/methods.toml [--method gradual-363 'bpd, quick-236'] [--seed 0 1]
    python benchmarks/methods.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from measured import mark, returns_of, rounded

from sparsectl.common.files import read_json, write_json
from sparsectl.experiments.folder import results_of
from sparsectl.export.table_bytes import table_bytes
from sparsectl.policy.load import load_acting
from sparsectl.policy.student_file import read_student_file
from sparsectl.training.rollouts.intervals import (
    FAILED_SHARE,
    crossed_figures,
    cvar_figures,
    failure_figures,
    share_of,
)

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

JSON = dict[str, Any]


@dataclass(frozen=True)
class MethodsConfig:
    """What to gather."""

    sweep: Path = ROOT / "runs" / "methods"
    """Folder of the sweep."""
    rig: str = "sensorsini_cartpole"
    """A rig that comes with a teacher, whose students they are."""
    episodes: int = 2_000
    """That measure teacher and students."""
    out: Path | None = None
    """The results' file; by default the one in benchmarks/results/."""


def students(config: MethodsConfig) -> Iterator[JSON]:
    """A row a student of the present teacher that the sweep has finished, with its returns."""
    teacher, env = _teacher(config), _environment(config)
    present = load_acting(teacher).facts()
    for run, done in results_of(config.sweep):
        if "distill" not in done:
            continue
        folder = config.sweep / "tasks" / run["tasks"]["distill"]
        student = folder / "student.safetensors"
        if read_student_file(student).metadata["teacher"] != present:
            continue
        yield without_paths(
            {
                "recipe": run["method"],
                "seed": run["seed"],
                "teacher": mark(teacher),
                "distill": done["distill"]["result"],
                "table_bytes": table_bytes(student),
                "returns": rounded(returns_of(student, env, config.episodes, folder)),
                "provenance": _origin(done["distill"]["provenance"]),
            }
        )


def _origin(provenance: JSON) -> JSON:
    """As it is committed: a path is its last name alone."""
    words = (Path(word) for word in provenance["command"])
    return provenance | {"command": [w.name if w.is_absolute() else str(w) for w in words]}


def _teacher(config: MethodsConfig) -> Path:
    return ROOT / "training" / "teachers" / f"{config.rig}.onnx"


def _environment(config: MethodsConfig) -> str:
    return f"sparsectl/{config.rig}-v0"


def without_paths(result: JSON) -> JSON:
    """The result without the places of its files, which differ from machine to machine."""
    return {
        key: without_paths(value) if isinstance(value, dict) else value
        for key, value in result.items()
        if key not in ("policy", "student", "files")
    }


def gather(config: MethodsConfig) -> None:
    """Write the returns of all finished students, and each recipe's figures."""
    path = config.out or RESULTS / f"methods_{config.rig}.json"
    teacher, env = _teacher(config), _environment(config)
    present = mark(teacher)
    before = read_json(path) if path.is_file() else {}
    found = list(students(config))
    anew = {(row["recipe"], row["seed"]) for row in found}
    found += [
        row
        for row in before.get("students", [])
        if row["teacher"] == present and (row["recipe"], row["seed"]) not in anew
    ]
    known = before.get("teacher", {})
    if known.get("mark") != present or len(known["returns"]) < config.episodes:
        returns = returns_of(teacher, env, config.episodes, config.sweep)
        known = {"mark": present, **load_acting(teacher).facts(), "returns": rounded(returns)}
    recipes: dict[str, list[JSON]] = {}
    for row in sorted(found, key=lambda row: (row["recipe"], row["seed"])):
        recipes.setdefault(row["recipe"], []).append(row)
    figures = {name: recipe_figures(rows, known) for name, rows in recipes.items()}
    results = {"rig": config.rig, "teacher": known | teacher_figures(known), "recipes": figures}
    write_json(path, results | {"students": [row for rows in recipes.values() for row in rows]})


def recipe_figures(rows: list[JSON], teacher: JSON) -> JSON:
    """A recipe's students beside their teacher, in the same episodes."""
    episodes = min(len(teacher["returns"]), *(len(row["returns"]) for row in rows))
    students = np.array([row["returns"][:episodes] for row in rows])
    return crossed_figures(students, np.array(teacher["returns"][:episodes]))


def teacher_figures(teacher: JSON) -> JSON:
    """The teacher's own tail and failures."""
    returns = np.array(teacher["returns"])
    least = share_of(FAILED_SHARE, float(returns.mean()))
    return {
        "return_mean": float(returns.mean()),
        "failed_below": least,
        **cvar_figures(returns),
        **failure_figures(returns, least),
    }


if __name__ == "__main__":
    gather(tyro.cli(MethodsConfig))
