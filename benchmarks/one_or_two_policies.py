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
from any_rig_students import FIRST_RIG, Budget, balanced, counted  # noqa: E402

from sparsectl.common.files import write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.plants.drawing import draw_rig  # noqa: E402
from sparsectl.plants.rig import Rig  # noqa: E402
from sparsectl.training.any_rig.distill import AnyRigDistillation, first_number  # noqa: E402

OUT = Path(__file__).parent / "results" / "one_or_two_policies.json"

FAMILIES = ("cartpole", "furuta")
STUDENTS = {"carts": ("cartpole",), "arms": ("furuta",), "both": FAMILIES}
"""What each is taught to drive."""


@dataclass(frozen=True)
class Asked(Budget):
    """The budget, and where students and results go."""

    rounds: int = 30
    rigs: int = 96
    ticks: int = 600
    folder: Path = Path("runs/one_or_two_policies")
    measured: int = 300
    """Drawn rigs of each family on which all are measured."""
    out: Path = OUT


def main(asked: Asked) -> None:
    """Distil and measure each."""
    torch.set_num_threads(1)
    # Failures do not come back in a later round, which may be of the other family.
    shared = asked.settings(again=0.0)
    numbers = range(FIRST_RIG, FIRST_RIG + asked.measured)
    measured = {family: [draw_rig(family, each) for each in numbers] for family in FAMILIES}
    budget = asked.figures
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
            rows[name][family] = counted(found)
        write_json(asked.out, {"rows": rows, "budget": budget, "provenance": provenance()})


if __name__ == "__main__":
    main(tyro.cli(Asked, description=__doc__.splitlines()[0]))
