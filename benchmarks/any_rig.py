"""One policy for any rig: how many rigs that were never drawn before it swings up and balances.

    python benchmarks/any_rig.py train --folder runs/any_cartpole [--settings.family furuta]
    python benchmarks/any_rig.py measure --rigs 1000 [--student runs/any_cartpole]

`train` distils the teacher that sees a rig's numbers into a recurrent student (or, with
--settings.units 0, into one of stacked frames), and goes on where it was stopped. `measure` runs
trials of 45 s on drawn rigs and on the shipped one, of the teacher and of the student in FOLDER.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import tyro  # noqa: E402
from scipy.stats import binomtest  # noqa: E402

from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.progress import Progress  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.plants.drawing import draw_rig  # noqa: E402
from sparsectl.plants.rig import Rig, load_rig  # noqa: E402
from sparsectl.training.any_rig.measure import Outcomes, trials  # noqa: E402
from sparsectl.training.any_rig.rollout import Actor  # noqa: E402
from sparsectl.training.rollouts.seeds import Series, episode_seed  # noqa: E402

OUT = Path(__file__).parent / "results" / "any_rig.json"
SHIPPED = {"cartpole": "sensorsini_cartpole", "furuta": "qube_servo2"}

FIRST_RIG = 500_000_000
"""No rig from here on is drawn in training or in the choice of a gain."""

AT_ONCE = 250


@dataclass(frozen=True)
class Settings:
    """As `training.any_rig.distill.AnyRigSettings` has them."""

    family: str = "cartpole"
    rounds: int = 400
    rigs: int = 192
    updates: int = 24
    batch: int = 48
    units: int = 20
    frames: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Train:
    """Distil."""

    folder: Path = Path("runs/any_cartpole")
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Measure:
    """Run trials."""

    family: str = "cartpole"
    rigs: int = 1000
    shipped: int = 100
    """Randomised trials of the shipped rig of this family."""
    student: Path | None = None
    """Folder of a distillation; None: the teacher alone."""


def main() -> None:
    """Run what was asked for."""
    asked = tyro.cli(Train | Measure, description=__doc__.splitlines()[0])
    if isinstance(asked, Train):
        train(asked)
    else:
        measure(asked)


def train(asked: Train) -> None:
    """Distil, or go on with it."""
    import torch

    from sparsectl.training.any_rig.distill import AnyRigDistillation, AnyRigSettings

    torch.set_num_threads(1)
    AnyRigDistillation(AnyRigSettings(**vars(asked.settings)), asked.folder).run()


def measure(asked: Measure) -> None:
    """Measure, and write the rows of this family, beside those of the other."""
    actors: dict[str, Actor | None] = {"teacher": None}
    facts: dict[str, Any] = {}
    if asked.student is not None:
        from sparsectl.training.any_rig.distill import CURVE, read_student

        student, settings, rounds = read_student(asked.student)
        actors["student"] = student
        curve = (asked.student / CURVE).read_text(encoding="utf-8").splitlines()
        facts = {"settings": settings, "rounds": rounds, "curve": [json.loads(x) for x in curve]}
    rigs = [draw_rig(asked.family, FIRST_RIG + number) for number in range(asked.rigs)]
    shipped = [load_rig(SHIPPED[asked.family])] * asked.shipped
    rows: dict[str, Any] = {}
    for name, actor in actors.items():
        drawn, own = _run(rigs, actor, name), _run(shipped, actor, f"{name}, shipped")
        rows[name] = {"drawn": _figures(drawn), "shipped": _figures(own)}
        print(name, json.dumps(rows[name], indent=1))
    known = read_json(OUT) if OUT.exists() else {}
    families = {**known.get("families", {}), asked.family: {"rows": rows, **facts}}
    write_json(OUT, {"families": families, "provenance": provenance()})


def _run(rigs: list[Rig], actor: Actor | None, name: str) -> Outcomes:
    """Trials in blocks, for the memory's sake; the same seeds for all who are compared."""
    parts = []
    for first in Progress(range(0, len(rigs), AT_ONCE), desc=name, unit="block"):
        block = range(first, min(first + AT_ONCE, len(rigs)))
        seeds = [episode_seed(Series.BENCHMARK, number) for number in block]
        parts.append(trials([rigs[number] for number in block], seeds, actor))
    columns = zip(
        *((p.balanced, p.swung_up_s, p.met_limit, p.mean_reward) for p in parts), strict=True
    )
    return Outcomes(*(np.concatenate(column) for column in columns))


def _figures(outcomes: Outcomes) -> dict[str, Any]:
    """Shares with Wilson's 95 % interval, times and rewards."""
    count, balanced = len(outcomes.balanced), int(outcomes.balanced.sum())
    interval = binomtest(balanced, count).proportion_ci(method="wilson")
    worst = np.sort(outcomes.mean_reward)[: max(1, count // 100)]
    times = outcomes.swung_up_s[outcomes.balanced]
    return {
        "rigs": count,
        "balanced": balanced,
        "share": balanced / count,
        "share_low": float(interval.low),
        "share_high": float(interval.high),
        "met_limit": int(outcomes.met_limit.sum()),
        "swing_up_s_median": float(np.median(times)) if balanced else None,
        "mean_reward": float(outcomes.mean_reward.mean()),
        "mean_reward_worst_hundredth": float(worst.mean()),
    }


if __name__ == "__main__":
    main()
