"""Students for any cart-pole beside each other: GRUs of several sizes, all of whose connections are
kept or some, and stacked frames.

    python benchmarks/any_rig_students.py [--folder runs/any_rig_students] [--rounds 40]

Each begins with random weights and is distilled from the teacher that sees a rig's numbers: the
same rounds, the same drawn rigs and seeds, as many gradient steps on as many ticks. All are
measured on the same rigs, on none of which anything was trained, and the GRUs on the ATmega328P, in
the encoding of 8 bits that takes the fewest cycles there. The budget is a small part of that of the
student that comes with sparsectl (benchmarks/any_rig.py). A run that was stopped goes on.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median_low
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import tyro  # noqa: E402
from driven_students import met_by, together  # noqa: E402

from sparsectl.common.errors import UserError  # noqa: E402
from sparsectl.common.files import write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.export.config import ExportConfig  # noqa: E402
from sparsectl.export.other_choices import wilson  # noqa: E402
from sparsectl.export.pipeline import export_policy  # noqa: E402
from sparsectl.firmware_host.cores import CORES  # noqa: E402
from sparsectl.plants.drawing import draw_rig  # noqa: E402
from sparsectl.plants.rig import load_rig  # noqa: E402
from sparsectl.policy.onnx_file.writer import write_onnx  # noqa: E402
from sparsectl.policy.passes import simplify  # noqa: E402
from sparsectl.training.any_rig.acting import SIGNALS, Acting  # noqa: E402
from sparsectl.training.any_rig.deploy import policy_for  # noqa: E402
from sparsectl.training.any_rig.distill import AnyRigDistillation, AnyRigSettings  # noqa: E402
from sparsectl.training.any_rig.measure import trials  # noqa: E402
from sparsectl.training.any_rig.recurrent import GruStudent  # noqa: E402
from sparsectl.training.rollouts.seeds import Series, episode_seed  # noqa: E402

OUT = Path(__file__).parent / "results" / "any_rig_students.json"

FIRST_RIG = 700_000_000
"""No student is trained on a rig from here on."""

SHAPES: dict[str, dict[str, Any]] = {
    "GRU of 22 units": {"units": 22},
    "10 stacked frames": {"units": 0, "frames": 10, "hidden": (28, 17)},
    "30 stacked frames": {"units": 0, "frames": 30, "hidden": (12, 8)},
    "GRU of 6 units": {"units": 6},
    "GRU of 10 units": {"units": 10},
    "GRU of 15 units": {"units": 15},
    "GRU of 28 units": {"units": 28},
    "GRU of 22 units, cut by magnitude": {"units": 22, "keep": 873, "score": "magnitude"},
    "GRU of 22 units, cut by Fisher": {"units": 22, "keep": 873, "score": "fisher"},
    "GRU of 22 units, cut by BPD": {"units": 22, "keep": 873, "score": "variational"},
    "GRU of 28 units, cut by Fisher": {"units": 28, "keep": 1768, "score": "fisher"},
}
"""Stacked frames have as many weights and biases as the GRU of 22 units has when deployed, and so
has the one of 28 units that is cut; those of 22 units that are cut have as many as that of 15."""

ENCODINGS = ("dense-int8", "straight-int8", "packed-int8")
CORE = "atmega328p"
RIG = "sensorsini_cartpole"
DRIVEN, DRIVEN_TICKS, TICKS = 16, 600, 32
"""Units of that rig on which a student's runs calibrate the encodings, their length, and for how
many of these ticks cycles are counted."""
ANY_ERROR = 1.0
"""Of the action's range: what the encodings' rounding costs is not asked here."""


@dataclass(frozen=True)
class Budget:
    """Of each student, the same for all that are compared."""

    rounds: int = 40
    """Of each family."""
    rigs: int = 128
    """Driven in each round."""
    ticks: int = 800
    updates: int = 24

    def settings(self, **others: Any) -> AnyRigSettings:
        """Of a distillation in this budget."""
        return AnyRigSettings(
            **self.figures,
            batch=self.rigs,
            chunk=100,
            kept=12,
            average=0.995,
            near_upright=1.0,
            near_limit=2.0,
            seed=3,
            **others,
        )

    @property
    def figures(self) -> dict[str, int]:
        """The budget by its names, without what else was asked for."""
        return {field.name: getattr(self, field.name) for field in fields(Budget)}


@dataclass(frozen=True)
class Asked(Budget):
    """The budget, and where students and results go."""

    folder: Path = Path("runs/any_rig_students")
    measured: int = 500
    """Drawn rigs on which all are measured."""
    out: Path = OUT


def main(asked: Asked) -> None:
    """Distil and measure each."""
    torch.set_num_threads(1)
    shared = asked.settings()
    rigs = [draw_rig("cartpole", FIRST_RIG + number) for number in range(asked.measured)]
    rows: dict[str, dict[str, Any]] = {}
    budget = asked.figures
    for name, shape in SHAPES.items():
        folder = asked.folder / name.replace(",", "").replace(" ", "_")
        distillation = AnyRigDistillation(replace(shared, **shape), folder, label=name)
        distillation.run()
        found = balanced(rigs, distillation)
        rows[name] = {
            "weights": _weights(distillation),
            "state_bytes": 4 * (shape["units"] or SIGNALS * shape["frames"]),
            "share": float(found.mean()),
            **counted(found),
        }
        student = distillation.actor
        if isinstance(student, Acting):
            rows[name] |= _on_the_chip(student)
        print(name, rows[name], flush=True)
        write_json(asked.out, {"rows": rows, "budget": budget, "provenance": provenance()})


def _weights(distillation: AnyRigDistillation) -> int:
    """Weights and biases that are deployed."""
    student = distillation.student
    if not isinstance(student, GruStudent):
        return student.deployed_weights
    read, held, *_, duty, _ = student.in_order()
    parts = (read[:, :SIGNALS], held, duty)
    return student.deployed_weights - sum(int((part == 0.0).sum()) for part in parts)


def _on_the_chip(student: Acting) -> dict[str, Any]:
    """Of the encoding that takes the fewest cycles."""
    rig = load_rig(RIG)
    graph = simplify(policy_for(student, rig))
    given = together(met_by(student, [rig] * DRIVEN, range(DRIVEN), DRIVEN_TICKS))
    best: dict[str, Any] = {"cycles": None}
    with tempfile.TemporaryDirectory() as work:
        model, met = Path(work) / "policy.onnx", Path(work) / "met.npz"
        write_onnx(graph, model)
        np.savez(met, observations=given.observations, terminations=given.terminations)
        for name in ENCODINGS:
            folder = Path(work) / name
            export_policy(
                ExportConfig(
                    model, folder, encoding=name, calibration=met, error=ANY_ERROR, vectors=TICKS
                )
            )
            build = Path(work) / f"{name}-build"
            build.mkdir()
            try:
                found = CORES[CORE].measure(folder, build, given.observations[:TICKS], 1)
            except UserError as error:
                if "does not fit" not in str(error):
                    raise
                continue
            assert found.cycles is not None
            cycles = median_low(found.cycles)
            if best["cycles"] is None or cycles < best["cycles"]:
                flash = sum(found.flash.values())
                best = {"encoding": name, "cycles": cycles, "flash": flash}
    return best


def balanced(rigs: list[Any], distillation: AnyRigDistillation) -> np.ndarray:
    """Return which rigs the distillation's student swings up and balances, [rigs]."""
    parts = []
    for first in range(0, len(rigs), 250):
        block = range(first, min(first + 250, len(rigs)))
        seeds = [episode_seed(Series.BENCHMARK, number) for number in block]
        parts.append(trials([rigs[k] for k in block], seeds, distillation.actor).balanced)
    return np.concatenate(parts)


def counted(found: np.ndarray) -> dict[str, Any]:
    """How many of the rigs are balanced, with Wilson's 95 % interval, and which are not."""
    low, high = wilson(int(found.sum()), len(found))
    failed = np.flatnonzero(~found).tolist()
    return {
        "balanced": int(found.sum()),
        "rigs": len(found),
        "low": low,
        "high": high,
        "failed": failed,
    }


if __name__ == "__main__":
    main(tyro.cli(Asked, description=__doc__.splitlines()[0]))
