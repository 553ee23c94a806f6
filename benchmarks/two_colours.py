"""On-policy distillation that circles for ever, N-distill that settles: results/two_colours.json.

python benchmarks/two_colours.py [--write]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.training.trajectory.two_colours import followed, n_distill, on_policy, orbit_constant

RESULTS = Path(__file__).resolve().parent / "results" / "two_colours.json"
START = (0.5, 0.1)
PATHS = {"on-policy distill": (on_policy, 0.001), "N-distill": (n_distill, 0.001)}
"""The field, and the size of a step along it."""
STEPS = 60_000


@dataclass(frozen=True)
class TwoColoursConfig:
    """Follow both from the same start."""

    write: bool = False
    out: Path = RESULTS


def path_of(name: str, steps: int = STEPS) -> Any:
    """The parameters [steps + 1, 2] on their way."""
    field, rate = PATHS[name]
    return followed(field, np.array(START), rate, steps)


def main(config: TwoColoursConfig) -> None:
    found: dict[str, Any] = {"steps": STEPS, "rows": {}}
    for name in PATHS:
        path = path_of(name)
        turned = np.unwrap(np.arctan2(path[:, 1], path[:, 0]))
        # The expected loss is −4 [pq + (1−p)(1−q)] − [q(1−p) + (1−q)p], halved: each start is even.
        p, q = (1 / (1 + np.exp(-path))).T
        loss = -(4 * (p * q + (1 - p) * (1 - q)) + q * (1 - p) + (1 - q) * p) / 2
        constants = [orbit_constant(path[0]), orbit_constant(path[-1])]
        row = {
            "turns": float(abs(turned[-1] - turned[0]) / (2 * np.pi)),
            "orbit_constant_changes_by": constants[1] / constants[0] - 1,
            "loss_first": float(loss[0]),
            "loss_last": float(loss[-1]),
            "loss_highest_of_last_half": float(loss[len(loss) // 2 :].max()),
        }
        found["rows"][name] = row
        print(name, {key: round(value, 4) for key, value in row.items()})
    if config.write:
        write_json(config.out, found | {"provenance": provenance()})


if __name__ == "__main__":
    main(tyro.cli(TwoColoursConfig))
