"""What students return when they act through an encoding; writes results/encoded_returns.json.

The reference of an encoding computes what the C computes, bit for bit, so no board is needed.

    R=runs/methods/sensorsini_cartpole
    python benchmarks/encoded_returns.py --dataset $R/dataset-100000-0.1-1.npz \\
        --students $R/gradual-363-0
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from sparsectl.common.files import read_json, write_json
from sparsectl.common.provenance import provenance
from sparsectl.export.calibration import COUNT, read_observations
from sparsectl.export.encodings.registry import encode
from sparsectl.export.observations import spread_observations
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.passes import simplify
from sparsectl.policy.student import read_student
from sparsectl.training.data.files import read_dataset
from sparsectl.training.rollouts.evaluate import run_episodes, summarise

RESULTS = Path(__file__).resolve().parent / "results" / "encoded_returns.json"

JSON = dict[str, Any]


@dataclass(frozen=True)
class EncodedConfig:
    """What to run."""

    students: tuple[Path, ...]
    """Folders of `distill`."""
    dataset: Path
    """Observations that the fixed point is calibrated on, beside spread ones."""
    env: str = "sparsectl/sensorsini_cartpole-v0"
    """Where they act."""
    encodings: tuple[str, ...] = ("packed-int16", "packed-int8", "straight-int8")
    """As `export --encoding`, beside auto."""
    episodes: int = 100
    """The same for all."""


def encoded_return(config: EncodedConfig, folder: Path, name: str, met: Array | None) -> JSON:
    """A student's bytes and return in an encoding, calibrated on `met`, else on what is spread."""
    student = read_student(folder / "student.safetensors")
    graph = simplify(student)
    spread = spread_observations(student, COUNT, 0)
    policy = encode(name, graph, spread if met is None else met, are_met=met is not None)

    def act(observations: Array) -> Array:
        return np.asarray(policy.forward(observations), np.float32).reshape(len(observations), -1)

    fixed = policy.encoding.kind.startswith("int")
    episodes = run_episodes(config.env, act, episodes=config.episodes, seed=10_000, progress=name)
    return {
        "student": folder.name,
        "encoding": policy.encoding.name,
        "calibration": ("spread" if met is None else "dataset") if fixed else "",
        "kept_weights": graph.kept_weights,
        "table_bytes": policy.table_bytes,
        **summarise(episodes),
    }


def main(config: EncodedConfig) -> None:
    """Run and write; rows of other students that are there already stay."""
    names = {folder.name for folder in config.students}
    before = read_json(RESULTS)["students"] if RESULTS.is_file() else []
    rows = [row for row in before if row["student"] not in names]
    met = read_observations(config.dataset, read_dataset(config.dataset).observations.shape[1])
    for folder in config.students:
        rows.append(encoded_return(config, folder, "auto", None))
        for name in config.encodings:
            rows += [encoded_return(config, folder, name, each) for each in (None, met)]
    facts = provenance()
    facts["command"] = [Path(word).name for word in facts["command"]]  # no machine's folders
    write_json(RESULTS, {"env": config.env, "students": rows, "provenance": facts})


if __name__ == "__main__":
    main(tyro.cli(EncodedConfig))
