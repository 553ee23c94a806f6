"""A teacher for each rig, as RAPTOR has them, beside the policy of one that sees the numbers.

    python benchmarks/teacher_a_rig.py [--family furuta] [--rigs 3] [--steps 150000]

Trains SAC on drawn rigs, one teacher a rig, and plays the same episodes with each teacher and with
the shipped policy for any rig, which has not seen the rig. A rig that is finished is not trained
again. Writes results/teacher_a_rig.json.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import tyro  # noqa: E402
from any_rig import FIRST_RIG  # noqa: E402
from driven_rigs import shipped_student  # noqa: E402

from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.plants.drawing import draw_table, rig_text  # noqa: E402
from sparsectl.policy.load import load_acting  # noqa: E402
from sparsectl.training.config import TeachConfig  # noqa: E402
from sparsectl.training.rollouts.evaluate import run_episodes  # noqa: E402
from sparsectl.training.teachers.teach import teach  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "teacher_a_rig.json"

JSON = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """Which rigs, and how long each teacher is trained."""

    family: str = "cartpole"
    rigs: int = 3
    steps: int = 150_000
    learning_starts: int = 5_000
    backend: Literal["sb3", "sbx"] = "sbx"
    episodes: int = 100
    """Of either player."""
    runs: Path = ROOT / "runs" / "teacher_a_rig"
    """Where the rigs' files and teachers are kept."""
    out: Path = RESULTS


def row_of(config: Config, number: int) -> JSON:
    """Train on one drawn rig, and play the episodes with both."""
    folder = config.runs / f"{config.family}-{number}-{config.steps}"
    folder.mkdir(parents=True, exist_ok=True)
    rig = folder / "rig.toml"
    rig.write_text(rig_text(draw_table(config.family, number)))
    asked = TeachConfig(
        env=str(rig),
        backend=config.backend,
        steps=config.steps,
        learning_starts=config.learning_starts,
        out=folder / "teacher",
    )
    found = teach(asked)
    teacher = load_acting(folder / "teacher" / "teacher.onnx").acting
    returns = {
        who: run_episodes(str(rig), actor, episodes=config.episodes, seed=10_000, progress=who)
        for who, actor in (("teacher", teacher), ("student", shipped_student(config.family, rig)))
    }
    return {
        "family": config.family,
        "rig": number,
        "steps": config.steps,
        "episodes": config.episodes,
        "seconds": found["seconds"],
        **{who: [round(float(x), 2) for x in each.returns] for who, each in returns.items()},
        "provenance": provenance(),
    }


def main(config: Config) -> None:
    """Train what is not there yet, and write the results after each rig."""
    rows = read_json(config.out)["rows"] if config.out.exists() else []
    for number in range(FIRST_RIG, FIRST_RIG + config.rigs):
        key = {"family": config.family, "rig": number, "steps": config.steps}
        if not any(key.items() <= row.items() for row in rows):
            rows.append(row_of(config, number))
            write_json(config.out, {"rows": rows})
        row = next(row for row in rows if key.items() <= row.items())
        means = {who: np.mean(row[who]) for who in ("teacher", "student")}
        print(f"rig {number:,}: teacher {means['teacher']:.1f}, student {means['student']:.1f}")


if __name__ == "__main__":
    main(tyro.cli(Config))
