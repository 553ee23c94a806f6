"""Students for any cart-pole beside each other: a GRU and stacked frames, equal in bytes.

    python benchmarks/any_rig_students.py [--folder runs/any_rig_students] [--rounds 40]

Each begins with random weights and is distilled from the teacher that sees a rig's numbers: the
same rounds, the same drawn rigs and seeds, as many gradient steps on as many ticks. All are
measured on the same rigs, on none of which anything was trained. The budget is a small part of
that of the student that comes with sparsectl (benchmarks/any_rig.py). A run that was stopped goes
on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import tyro  # noqa: E402

from sparsectl.common.files import write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.export.other_choices import wilson  # noqa: E402
from sparsectl.plants.drawing import draw_rig  # noqa: E402
from sparsectl.training.any_rig.acting import SIGNALS  # noqa: E402
from sparsectl.training.any_rig.distill import AnyRigDistillation, AnyRigSettings  # noqa: E402
from sparsectl.training.any_rig.measure import trials  # noqa: E402
from sparsectl.training.rollouts.seeds import Series, episode_seed  # noqa: E402

OUT = Path(__file__).parent / "results" / "any_rig_students.json"

FIRST_RIG = 700_000_000
"""No student is trained on a rig from here on."""

SHAPES: dict[str, dict[str, Any]] = {
    "GRU of 22 units": {"units": 22},
    "10 stacked frames": {"units": 0, "frames": 10, "hidden": (28, 17)},
    "30 stacked frames": {"units": 0, "frames": 30, "hidden": (12, 8)},
}
"""All of 1,925 to 1,939 weights and biases as they are deployed."""


@dataclass(frozen=True)
class Asked:
    """The budget, the same for each student."""

    folder: Path = Path("runs/any_rig_students")
    rounds: int = 40
    rigs: int = 128
    """Driven in each round."""
    ticks: int = 800
    updates: int = 24
    measured: int = 500
    """Drawn rigs on which all are measured."""


def main(asked: Asked) -> None:
    """Distil and measure each."""
    torch.set_num_threads(1)
    shared = AnyRigSettings(
        rounds=asked.rounds,
        rigs=asked.rigs,
        ticks=asked.ticks,
        updates=asked.updates,
        batch=asked.rigs,
        chunk=100,
        kept=12,
        average=0.995,
        near_upright=1.0,
        near_limit=2.0,
        seed=3,
    )
    rigs = [draw_rig("cartpole", FIRST_RIG + number) for number in range(asked.measured)]
    rows, balanced = {}, {}
    for name, shape in SHAPES.items():
        folder = asked.folder / name.replace(" ", "_")
        distillation = AnyRigDistillation(replace(shared, **shape), folder, label=name)
        distillation.run()
        found = _balanced(rigs, distillation)
        balanced[name] = found
        low, high = wilson(int(found.sum()), len(rigs))
        rows[name] = {
            "weights": distillation.student.deployed_weights,
            "state_bytes": 4 * (shape["units"] or SIGNALS * shape["frames"]),
            "balanced": int(found.sum()),
            "rigs": len(rigs),
            "share": float(found.mean()),
            "low": low,
            "high": high,
        }
        print(name, rows[name], flush=True)
    gru, *others = SHAPES
    for name in others:
        rows[name]["only_gru"] = int((balanced[gru] & ~balanced[name]).sum())
        rows[name]["only_this"] = int((~balanced[gru] & balanced[name]).sum())
    budget = {key: getattr(asked, key) for key in ("rounds", "rigs", "ticks", "updates")}
    write_json(OUT, {"rows": rows, "budget": budget, "provenance": provenance()})


def _balanced(rigs: list[Any], distillation: AnyRigDistillation) -> np.ndarray:
    parts = []
    for first in range(0, len(rigs), 250):
        block = range(first, min(first + 250, len(rigs)))
        seeds = [episode_seed(Series.BENCHMARK, number) for number in block]
        parts.append(trials([rigs[k] for k in block], seeds, distillation.actor).balanced)
    return np.concatenate(parts)


if __name__ == "__main__":
    main(tyro.cli(Asked, description=__doc__.splitlines()[0]))
