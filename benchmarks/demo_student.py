"""The evidence of the demo's own student, as results/demo.json; its figures lie within the table's.

    sparsectl demo
    python benchmarks/demo_student.py [--run runs/demo] [--episodes 1000]

`sparsectl demo` tells its own student's figures in a few hundred episodes. Those of its recipe,
with intervals over students and episodes, are in the README's table (methods.py).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from measured import returns_of, rounded

from sparsectl.common.files import read_json, write_json
from sparsectl.policy.load import load_acting

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

JSON = dict[str, Any]

KEPT = ("kept_weights", "kept_parameters", "teacher_weights", "teacher_parameters", "evidence")
"""Of what `distill` said."""

FIGURES = ("difference", "failures_per_1000")
"""What both the demo and the table tell."""


@dataclass(frozen=True)
class DemoStudentConfig:
    """What to read."""

    run: Path = ROOT / "runs" / "demo"
    """Folder of a demo that has come past its distillation."""
    episodes: int = 0
    """Of the table's, in which it acts too; those that it has acted in are kept in the run."""
    out: Path = RESULTS / "demo.json"
    """The results' file."""


def demo_student(run: Path) -> JSON:
    """Of the demo's `summary.json` what concerns its student, without places of this machine."""
    stages = read_json(run / "summary.json")
    if "distill" not in stages:
        sys.exit(f"the demo in {run} has no student yet; let `sparsectl demo` go on")
    origin = {key: stages["provenance"][key] for key in ("sparsectl", "revision", "python")}
    return {
        **{key: stages["distill"][key] for key in KEPT},
        "seed": stages["config"]["seed"],
        "provenance": {**origin, "command": ["sparsectl", "demo"]},
    }


def outside(demo: JSON, recipe: JSON) -> list[str]:
    """Figures of the demo's student that the recipe's intervals do not hold."""
    return [
        name
        for name in FIGURES
        if not recipe[f"{name}_low"] <= demo["evidence"][name] <= recipe[f"{name}_high"]
    ]


def main(config: DemoStudentConfig) -> None:
    """Measure, and write the results' file."""
    facts = demo_student(config.run)
    if config.episodes:
        student = config.run / "student.safetensors"
        env = load_acting(student).environment
        assert env is not None  # a demo's student was made in one
        returns = returns_of(student, env, config.episodes, config.run)
        facts["returns"] = rounded(returns)
    write_json(config.out, facts)


if __name__ == "__main__":
    main(tyro.cli(DemoStudentConfig))
