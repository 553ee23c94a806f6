"""Students of every method and size beside their teacher; writes results/methods_RIG.json.

Each recipe over seeds: dataset, student, return in the same 100 episodes, bytes after export. What
is finished is not run again, so the script can be stopped and called anew, for some recipes or all.
Rows of a former teacher stay, marked, until their recipe is run with the present one.

    python benchmarks/methods.py [--recipes gradual-363 'bpd, quick-236'] [--seeds 0 1 2 3 4]
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from sparsectl.commands.flash import flash_bytes
from sparsectl.common.files import read_json, write_json
from sparsectl.common.provenance import provenance
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.training.collect import collect
from sparsectl.training.config import CollectConfig, DistillConfig, EvaluateConfig
from sparsectl.training.distill import distill
from sparsectl.training.evaluate import evaluate
from sparsectl.training.methods import METHODS, Method
from sparsectl.training.presets import PRESETS

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


FIRST_ORDER: JSON = {"finetune_newton_below": 0, "dagger_anywhere": 0.0}
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
    rounds = {"finetune_rounds": ROUNDS} if method.small else {}
    return {
        f"{name}, quick-{keep}": Recipe({"method": name, "keep": keep, **QUICK, **rounds})
        for keep in (DENSE if dense else SPARSE)
    }


RECIPES = {
    **{f"{name}-363": Recipe({"method": name, "keep": 363}) for name in ("gradual", "bpd")},
    **{
        name: recipe
        for method in METHODS
        for name, recipe in _of_method(method, METHODS[method]).items()
    },
    **{
        f"bpd, quick, {name}-236": Recipe({"method": "bpd", "keep": 236, **QUICK, **changes})
        for name, changes in ABLATIONS.items()
    },
    "gradual, first order-363": Recipe({"method": "gradual", "keep": 363, **FIRST_ORDER}),
    "paper": Recipe({"preset": "paper"}, rounds=False, transitions=1_000_000),
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
    workers: int = 1
    """Processes for episodes."""
    runs: Path = ROOT / "runs" / "methods"
    """Folder of the runs."""


def student_of(config: MethodsConfig, name: str, seed: int) -> JSON:
    """Distil one student and measure it; its result is kept."""
    recipe, folder = RECIPES[name], config.runs / config.rig / f"{name}-{seed}"
    teacher, env = _teacher(config), _environment(config)
    dataset = _dataset(config, recipe, seed)
    settings = {"preset": "thorough", **recipe.settings}
    if recipe.rounds:
        settings["teacher"] = teacher
    out = {"out": folder, "seed": seed, "workers": config.workers, "env": env}
    distilled = distill(DistillConfig(dataset=dataset, **out, **settings))
    student = folder / "student.safetensors"
    evaluated = evaluate(EvaluateConfig(policy=student, env=env))
    exported = export_policy(ExportConfig(model=student, out=folder / "policy"))
    result = without_paths(
        {
            "recipe": name,
            "seed": seed,
            "teacher": teacher_mark(teacher),
            "distill": distilled,
            "evaluate": evaluated,
            "flash_bytes": flash_bytes(student),
            "float32_rounding": exported["float32_rounding"],
            "max_abs_error": exported["max_abs_error"],
            "provenance": provenance(),
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
    words = f"dataset-{recipe.transitions}-{recipe.noise}-{seed}.npz"
    path = config.runs / config.rig / words
    if not path.is_file():
        collect(
            CollectConfig(
                teacher=_teacher(config),
                env=_environment(config),
                out=path,
                transitions=recipe.transitions,
                noise=recipe.noise,
                seed=seed,
                workers=config.workers,
            )
        )
    return path


def teacher_mark(path: Path) -> str:
    """What tells one teacher from another: the first digits of its file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def without_paths(result: JSON) -> JSON:
    """The result without the places of its files, which differ from machine to machine."""
    return {
        key: without_paths(value) if isinstance(value, dict) else value
        for key, value in result.items()
        if key not in ("policy", "student", "files")
    }


def main(config: MethodsConfig) -> None:
    """Run what is missing and write all that is finished."""
    for seed in config.seeds:
        for name in config.recipes:
            if not (config.runs / config.rig / f"{name}-{seed}" / "result.json").is_file():
                student_of(config, name, seed)
                gather(config)
    gather(config)


def gather(config: MethodsConfig) -> None:
    """Write the results of all finished students."""
    path = RESULTS / f"methods_{config.rig}.json"
    before = read_json(path) if path.is_file() else {"teachers": {}, "students": []}
    found = [read_json(p) for p in sorted((config.runs / config.rig).glob("*/result.json"))]
    present, anew = teacher_mark(_teacher(config)), {row["recipe"] for row in found}
    former = [
        row for row in before["students"] if row["teacher"] != present and row["recipe"] not in anew
    ]
    teachers = before["teachers"]
    if present not in teachers:
        measured = evaluate(EvaluateConfig(policy=_teacher(config), env=_environment(config)))
        teachers[present] = without_paths(measured)
    results = {"rig": config.rig, "teacher": present, "teachers": teachers}
    write_json(path, results | {"students": former + found})


if __name__ == "__main__":
    main(tyro.cli(MethodsConfig))
