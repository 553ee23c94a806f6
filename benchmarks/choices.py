"""Teachers that choose, their students, and what both take on chips: results/choices.json.

The shipped teacher of each task of classic control, and of the rig that is driven bang-bang, goes
the whole way: `collect`, `distill --method policy-distillation`, `export` with its proof on two
chips. Teacher and student meet the same episodes, by which nothing was chosen. What is finished is
not run again.

    python benchmarks/choices.py [--tasks cart_pole]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from sparsectl.command_line.config import ChooseConfig
from sparsectl.commands.export import export
from sparsectl.common.files import read_json, write_json
from sparsectl.common.provenance import provenance
from sparsectl.training.config import CollectConfig, DistillConfig
from sparsectl.training.distillation.distill import distill
from sparsectl.training.rollouts.collect import collect

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "choices.json"
TEACHERS = ROOT / "training" / "teachers"

JSON = dict[str, Any]

BOARDS = ("cortex-m4f", "atmega328p")


@dataclass(frozen=True)
class Task:
    """A task: its environment, the weights that its student may have, and the teacher's
    transitions that it learns from."""

    env: str
    keep: int
    transitions: int = 20_000


TASKS = {
    "cart_pole": Task("CartPole-v1", 24),
    "acrobot": Task("Acrobot-v1", 60),
    "mountain_car": Task("MountainCar-v0", 40),
    "sensorsini_bang_bang": Task("sparsectl/sensorsini_bang_bang-v0", 600, 60_000),
}
"""By the names of the teachers' files."""

KEPT = ("kept_weights", "teacher_weights", "target_met", "evidence")
COSTS = ("cycles_worst", "cycles_kind", "flash_bytes", "ram_bytes", "stack_bytes")


@dataclass(frozen=True)
class ChoicesConfig:
    """Which to run."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """Of those above."""
    runs: Path = ROOT / "runs" / "choices"
    """Where datasets, students and policies are kept."""
    out: Path = RESULTS
    """The results' file; rows of other tasks stay."""


def row_of(name: str, task: Task, folder: Path) -> JSON:
    """Teacher, student and costs of a task."""
    teacher, dataset = TEACHERS / f"{name}.onnx", folder / "dataset.npz"
    if not dataset.exists():
        collect(CollectConfig(teacher, task.env, dataset, task.transitions))
    config = DistillConfig(
        dataset,
        folder / "student",
        preset="quick",
        method="policy-distillation",
        keep=task.keep,
        env=task.env,
        teacher=teacher,
    )
    student = distill(config)
    costs = {}
    for who, model in (("student", Path(student["student"])), ("teacher", teacher)):
        policy = folder / f"policy-{who}"
        boards = export(ChooseConfig(model, policy, calibration=dataset, board=BOARDS[:1]))[
            "boards"
        ]
        costs[who] = {board: {key: boards[board][key] for key in COSTS} for board in boards}
    policy = folder / "policy-avr"
    small = ChooseConfig(Path(student["student"]), policy, calibration=dataset, board=BOARDS[1:])
    costs["student"] |= {
        board: {key: found[key] for key in COSTS}
        for board, found in export(small)["boards"].items()
    }
    return {
        "env": task.env,
        "keep": task.keep,
        **{key: student[key] for key in KEPT},
        "boards": costs,
        "provenance": provenance(),
    }


def main(config: ChoicesConfig) -> None:
    """Run the tasks that are asked for, and write the results' file after each."""
    rows: JSON = read_json(config.out) if config.out.exists() else {}
    for name in config.tasks:
        rows[name] = row_of(name, TASKS[name], config.runs / name)
        write_json(config.out, rows)


if __name__ == "__main__":
    main(tyro.cli(ChoicesConfig))
