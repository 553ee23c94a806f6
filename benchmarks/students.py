"""How small a student keeps the teacher's return, over seeds; writes results/students.json.

For each seed: a dataset, a student by the demo's recipe, and one from the dataset alone.
Takes about five minutes a seed on one core; a finished seed is not run again.

    python benchmarks/students.py [--seeds 0 1 2 3 4] [--rig sensorsini_cartpole]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from common.files import read_json, write_json
from common.provenance import provenance
from training.collect import collect
from training.config import CollectConfig, DistillConfig, EvaluateConfig
from training.distill import distill
from training.evaluate import evaluate

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

OFFLINE: dict[str, Any] = {"steps": 12_000, "kl_multiplier": 0.3, "finetune_steps": 12_000}
"""Without the simulator's help there is time for more steps; a run takes about as long."""


@dataclass(frozen=True)
class StudentsConfig:
    """What to run."""

    rig: str = "sensorsini_cartpole"
    """A rig that comes with a teacher."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of dataset and student."""
    episodes: int = 50
    """Episodes that measure the return after each stage."""
    runs: Path = ROOT / "runs" / "students"
    """Folder of the runs."""


def student_of(config: StudentsConfig, seed: int, *, offline: bool) -> dict[str, Any]:
    """Distil one student and measure it in 100 episodes; kept where it was already run."""
    teacher = ROOT / "training" / "teachers" / f"{config.rig}.onnx"
    env = f"sparsectl/{config.rig}-v0"
    folder = config.runs / config.rig / f"{'offline' if offline else 'full'}-{seed}"
    if (folder / "result.json").is_file():
        result: dict[str, Any] = read_json(folder / "result.json")
        return result
    dataset = config.runs / config.rig / f"dataset-{seed}.npz"
    if not dataset.is_file():
        collect(CollectConfig(teacher=teacher, env=env, out=dataset, seed=seed))
    recipe = OFFLINE if offline else {"teacher": teacher}
    distilled = distill(
        DistillConfig(
            dataset=dataset,
            env=env,
            out=folder,
            preset="quick",
            seed=seed,
            episodes=config.episodes,
            **recipe,
        )
    )
    returned = evaluate(EvaluateConfig(policy=folder / "student.safetensors", env=env))
    result = without_paths({"seed": seed, "distill": distilled, "evaluate": returned})
    write_json(folder / "result.json", result)
    return result


def without_paths(result: dict[str, Any]) -> dict[str, Any]:
    """The result without the places of its files, which differ from machine to machine."""
    return {
        key: without_paths(value) if isinstance(value, dict) else value
        for key, value in result.items()
        if key not in ("policy", "student")
    }


def main(config: StudentsConfig) -> None:
    """Run what is missing and write the results."""
    teacher = ROOT / "training" / "teachers" / f"{config.rig}.onnx"
    env = f"sparsectl/{config.rig}-v0"
    results = {
        "rig": config.rig,
        "teacher": without_paths(evaluate(EvaluateConfig(policy=teacher, env=env))),
        "full": [student_of(config, seed, offline=False) for seed in config.seeds],
        "offline": [student_of(config, seed, offline=True) for seed in config.seeds],
        "provenance": provenance(),
    }
    write_json(RESULTS / f"students_{config.rig}.json", results)


if __name__ == "__main__":
    main(tyro.cli(StudentsConfig))
