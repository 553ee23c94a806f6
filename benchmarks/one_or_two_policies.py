"""Is one policy for cart-poles and rotary pendulums as good as one for each?

    python benchmarks/one_or_two_policies.py [--folder runs/one_or_two_policies]

Three students of the shipped ones' size begin with random weights: one for carts, one for arms, and
one for both, which has as many rounds of either, in turn. All are measured on the same rigs of both
families, on none of which anything was trained. The budget is a small part of that of the students
that come with sparsectl (benchmarks/any_rig.py). A run that was stopped goes on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402
import tyro  # noqa: E402
from any_rig_students import FIRST_RIG, balanced  # noqa: E402

from sparsectl.common.files import write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.export.other_choices import wilson  # noqa: E402
from sparsectl.plants.drawing import draw_rig  # noqa: E402
from sparsectl.plants.rig import Rig  # noqa: E402
from sparsectl.training.any_rig.distill import (  # noqa: E402
    AnyRigDistillation,
    AnyRigSettings,
    first_number,
)

OUT = Path(__file__).parent / "results" / "one_or_two_policies.json"

FAMILIES = ("cartpole", "furuta")
STUDENTS = {"carts": ("cartpole",), "arms": ("furuta",), "both": FAMILIES}
"""What each is taught to drive."""


@dataclass(frozen=True)
class Asked:
    """The budget, the same for each student and family."""

    folder: Path = Path("runs/one_or_two_policies")
    rounds: int = 30
    """Of each family."""
    rigs: int = 96
    """Driven in each round."""
    ticks: int = 600
    updates: int = 24
    measured: int = 300
    """Drawn rigs of each family on which all are measured."""
    out: Path = OUT


def main(asked: Asked) -> None:
    """Distil and measure each."""
    torch.set_num_threads(1)
    # Failures do not come back in a later round, which may be of the other family.
    shared = AnyRigSettings(
        rigs=asked.rigs,
        ticks=asked.ticks,
        updates=asked.updates,
        batch=asked.rigs,
        chunk=100,
        kept=12,
        again=0.0,
        average=0.995,
        near_upright=1.0,
        near_limit=2.0,
        seed=3,
    )
    numbers = range(FIRST_RIG, FIRST_RIG + asked.measured)
    measured = {family: [draw_rig(family, each) for each in numbers] for family in FAMILIES}
    budget = {key: getattr(asked, key) for key in ("rounds", "rigs", "ticks", "updates")}
    rows: dict[str, dict[str, Any]] = {}
    for name, families in STUDENTS.items():

        def draw(number: int, families: tuple[str, ...] = families) -> Rig:
            in_turn = (number - first_number(shared.seed)) // asked.rigs
            return draw_rig(families[in_turn % len(families)], number)

        settings = replace(shared, rounds=asked.rounds * len(families), family=families[0])
        distillation = AnyRigDistillation(settings, asked.folder / name, draw, name)
        distillation.run()
        rows[name] = {}
        for family, rigs in measured.items():
            found = balanced(rigs, distillation)
            low, high = wilson(int(found.sum()), len(rigs))
            counted = {"balanced": int(found.sum()), "rigs": len(rigs), "low": low, "high": high}
            rows[name][family] = counted | {"failed": [int(k) for k in (~found).nonzero()[0]]}
        write_json(asked.out, {"rows": rows, "budget": budget, "provenance": provenance()})


if __name__ == "__main__":
    main(tyro.cli(Asked, description=__doc__.splitlines()[0]))
