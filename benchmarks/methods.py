"""Students of every method and size beside their teacher; writes results/methods_RIG.json.

Each recipe over seeds: dataset, student, bytes of tables, and returns in the same 2,000 episodes as
the teacher's, which chose neither a student nor a setting. What is finished is not run again, so
the script can be stopped and called anew, for some recipes or all. Rows of another teacher go.

    python benchmarks/methods.py [--recipes gradual-363 'bpd, quick-236'] [--seeds 0 1 2 3 4]
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from measured import here, mark, returns_of, rounded

from sparsectl.commands.table_bytes import table_bytes
from sparsectl.common.files import read_json, write_json
from sparsectl.common.nested import replaced
from sparsectl.training.config import CollectConfig, DistillConfig
from sparsectl.training.distillation.distill import distill
from sparsectl.training.distillation.methods import METHODS, Method
from sparsectl.training.distillation.presets import PRESETS
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.intervals import (
    FAILED_SHARE,
    crossed_figures,
    cvar_figures,
    failure_figures,
    share_of,
)
from sparsectl.training.rollouts.policy import load_policy

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

JSON = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """What a row of the table is made with; `rounds`: with student-driven data."""

    settings: JSON
    rounds: bool = True
    transitions: int = 100_000
    noise: float = 0.1


FIRST_ORDER: JSON = {"finetune.newton_below": 0, "dagger.uniform_starts": 0.0}
"""As in version 0.2.0: Adam at every size, rounds from the usual start alone."""

QUICK: JSON = {"preset": "quick"}
"""So that every method has its turn."""

SPARSE = (363, 236, 150)
"""Sizes of students whose single weights go …"""

DENSE = (363, 322, 250)
"""… and of dense ones, which take as many bytes of tables, give or take a tenth."""

ROUNDS = PRESETS["quick"].finetune.prune_rounds + PRESETS["quick"].finetune.rounds
"""Of dense students from scratch: as many fine-tunings after the first as the others have."""

ABLATIONS: dict[str, JSON] = {
    "no value term": {"value_weight": 0.0},
    "authors noise": {"noise": "authors"},
    **{f"prior {name}": {"prior": name} for name in ("relevance", "gaussian", "laplace")},
    "prior uniform": {"prior": "uniform", "prior_scale": 10.0},
    **{f"schedule {name}": {"kl_schedule": name} for name in ("constant", "exponential", "cosine")},
    "first order": FIRST_ORDER,
}
"""Of the paper's method, one thing at a time."""


def _of_method(name: str, method: Method) -> dict[str, Recipe]:
    """Its recipes, by the same budget as the other methods'."""
    dense = method.small or method.finetune.get("score") == "neuron"
    rounds = {"finetune.rounds": ROUNDS} if method.small else {}
    return {
        f"{name}, quick-{keep}": Recipe({"method": name, "keep": keep, **QUICK, **rounds})
        for keep in (DENSE if dense else SPARSE)
    }


CHOICES = "policy-distillation"
"""For teachers that choose one of a few; those here act in real numbers."""

RECIPES = {
    **{f"{name}-363": Recipe({"method": name, "keep": 363}) for name in ("gradual", "bpd")},
    **{
        name: recipe
        for method in METHODS
        if method != CHOICES
        for name, recipe in _of_method(method, METHODS[method]).items()
    },
    **{
        f"bpd, quick, {name}-236": Recipe({"method": "bpd", "keep": 236, **QUICK, **changes})
        for name, changes in ABLATIONS.items()
    },
    "gradual, first order-363": Recipe({"method": "gradual", "keep": 363, **FIRST_ORDER}),
    **{
        name: Recipe({"preset": name}, rounds=False, transitions=1_000_000)
        for name in ("paper", "authors")
    },
    **{
        f"offline-{keep}": Recipe({"method": "gradual", "keep": keep, "episodes": 20}, False)
        for keep in (727, 363)
    },
    **{
        f"offline-noisy-{keep}": Recipe(
            {"method": "gradual", "keep": keep, "episodes": 20},
            rounds=False,
            transitions=200_000,
            noise=0.3,
        )
        for keep in (727, 363)
    },
}


@dataclass(frozen=True)
class MethodsConfig:
    """What to run."""

    recipes: tuple[str, ...] = ()
    """Names of recipes; none: only gather what is finished."""
    rig: str = "sensorsini_cartpole"
    """A rig that comes with a teacher."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of dataset and student."""
    episodes: int = 2_000
    """That measure teacher and students."""
    workers: int = 1
    """Processes for the distillations' episodes."""
    out: Path | None = None
    """The results' file; by default the one in benchmarks/results/."""
    transitions: int | None = None
    """Of the datasets, in place of the recipes'."""
    changes: str = "{}"
    """Settings of `distill` in place of the recipes', as JSON: for a tiny run."""
    runs: Path = ROOT / "runs" / "methods"
    """Folder of the runs."""


def student_of(config: MethodsConfig, name: str, seed: int) -> JSON:
    """Distil one student and measure it; its result is kept."""
    recipe, folder = RECIPES[name], config.runs / config.rig / f"{name}-{seed}"
    teacher, env = _teacher(config), _environment(config)
    dataset = _dataset(config, recipe, seed)
    settings = {"preset": "thorough", **recipe.settings, **json.loads(config.changes)}
    if recipe.rounds:
        settings["teacher"] = teacher
    out = {"out": folder, "seed": seed, "workers": config.workers, "env": env}
    distilled = distill(replaced(DistillConfig(dataset, **out), settings))
    student = folder / "student.safetensors"
    result = without_paths(
        {
            "recipe": name,
            "seed": seed,
            "teacher": mark(teacher),
            "distill": distilled,
            "table_bytes": table_bytes(student),
            "returns": rounded(returns_of(student, env, config.episodes, folder)),
            "provenance": here(),
        }
    )
    write_json(folder / "result.json", result)
    shutil.rmtree(folder / "rounds", ignore_errors=True)
    return result


def _teacher(config: MethodsConfig) -> Path:
    return ROOT / "training" / "teachers" / f"{config.rig}.onnx"


def _environment(config: MethodsConfig) -> str:
    return f"sparsectl/{config.rig}-v0"


def _dataset(config: MethodsConfig, recipe: Recipe, seed: int) -> Path:
    transitions = config.transitions or recipe.transitions
    words = f"dataset-{transitions}-{recipe.noise}-{seed}.npz"
    path = config.runs / config.rig / words
    if not path.is_file():
        collect(
            CollectConfig(
                teacher=_teacher(config),
                env=_environment(config),
                out=path,
                transitions=transitions,
                noise=recipe.noise,
                seed=seed,
                workers=config.workers,
            )
        )
    return path


def without_paths(result: JSON) -> JSON:
    """The result without the places of its files, which differ from machine to machine."""
    return {
        key: without_paths(value) if isinstance(value, dict) else value
        for key, value in result.items()
        if key not in ("policy", "student", "files")
    }


def main(config: MethodsConfig) -> None:
    """Run what is missing and write all that is finished."""
    unknown = set(config.recipes) - set(RECIPES)
    if unknown:
        sys.exit(f"no recipe {sorted(unknown)[0]!r}; take one of {', '.join(RECIPES)}")
    for seed in config.seeds:
        for name in config.recipes:
            if not (config.runs / config.rig / f"{name}-{seed}" / "result.json").is_file():
                student_of(config, name, seed)
                gather(config)
    gather(config)


def gather(config: MethodsConfig) -> None:
    """Write the returns of all finished students, and each recipe's figures."""
    path = config.out or RESULTS / f"methods_{config.rig}.json"
    teacher, env = _teacher(config), _environment(config)
    present = mark(teacher)
    before = read_json(path) if path.is_file() else {}
    found = [read_json(p) for p in sorted((config.runs / config.rig).glob("*/result.json"))]
    found = [row for row in found if row["teacher"] == present]
    anew = {(row["recipe"], row["seed"]) for row in found}
    found += [
        row
        for row in before.get("students", [])
        if row["teacher"] == present and (row["recipe"], row["seed"]) not in anew
    ]
    known = before.get("teacher", {})
    if known.get("mark") != present or len(known["returns"]) < config.episodes:
        returns = returns_of(teacher, env, config.episodes, config.runs / config.rig)
        known = {"mark": present, **load_policy(teacher).facts(), "returns": rounded(returns)}
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
    main(tyro.cli(MethodsConfig))
