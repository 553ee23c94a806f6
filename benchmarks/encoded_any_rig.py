"""The policies for any pendulum in small encodings: on how many drawn rigs they balance, beside
float32; writes results/encoded_any_rig.json.

    python benchmarks/encoded_any_rig.py [--rigs 200] [--families cartpole]

Each rig has the policy with its own constants in an encoding's whole numbers, calibrated on one run
of the float32 student on that rig. Trials of 45 s as in any_rig.py, the same rigs and units for
all, driven by the encoding's C compiled for this machine, whose bits are those of every core. A
family and an encoding that were measured at the same revision before are not measured again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import tyro  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, its folder is on the path, not the root

from benchmarks.any_rig import paired  # noqa: E402
from benchmarks.driven_students import Encoded, met_by  # noqa: E402
from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.provenance import provenance, revision  # noqa: E402
from sparsectl.export.other_choices import wilson  # noqa: E402
from sparsectl.plants.drawing import draw_rig  # noqa: E402
from sparsectl.training.any_rig.deploy import read_any, student_path  # noqa: E402
from sparsectl.training.any_rig.measure import Outcomes, trials  # noqa: E402
from sparsectl.training.any_rig.rollout import Actor  # noqa: E402
from sparsectl.training.rollouts.seeds import Series, episode_seed  # noqa: E402

OUT: Final = ROOT / "benchmarks" / "results" / "encoded_any_rig.json"
FIRST_RIG: Final = 810_000_000
"""No rig from here on is drawn in training, in the choice of a gain or in any_rig.py."""
CALIBRATED_TICKS: Final = 700
FLOAT: Final = "float32"
ENCODINGS: Final = (FLOAT, "dense-int16", "dense-int8")


@dataclass(frozen=True)
class Asked:
    """What to run."""

    rigs: int = 200
    families: tuple[str, ...] = ("furuta", "cartpole")
    out: Path = OUT


def main(asked: Asked) -> None:
    """Measure what is missing, write, and print."""
    found: dict[str, Any] = read_json(asked.out) if asked.out.is_file() else {}
    if found.get("provenance", {}).get("revision") != revision() or found["rigs"] != asked.rigs:
        found = {"rigs": asked.rigs, "first_rig": FIRST_RIG, "families": {}}
    for family in asked.families:
        rows = found["families"].setdefault(family, {})
        for name in ENCODINGS:
            if name not in rows:
                rows[name] = _row(_outcomes(family, name, asked.rigs))
                print(family, name, rows[name]["balanced"], flush=True)
                write_json(asked.out, found | {"provenance": provenance()})


def _outcomes(family: str, name: str, count: int) -> Outcomes:
    student = read_any(student_path(family))
    rigs = [draw_rig(family, FIRST_RIG + number) for number in range(count)]
    actor: Actor = student
    with tempfile.TemporaryDirectory() as folder:
        if name != FLOAT:
            met = met_by(student, rigs, range(count), CALIBRATED_TICKS)
            actor = Encoded(name, student, rigs, met, Path(folder))
        seeds = [episode_seed(Series.BENCHMARK, number) for number in range(count)]
        return trials(rigs, seeds, actor)


def _row(outcomes: Outcomes) -> dict[str, Any]:
    balanced, count = int(outcomes.balanced.sum()), len(outcomes.balanced)
    low, high = wilson(balanced, count)
    return {
        "balanced": balanced,
        "share_low": low,
        "share_high": high,
        "mean_reward": float(outcomes.mean_reward.mean()),
        "rigs_balanced": np.flatnonzero(outcomes.balanced).tolist(),
    }


def beside_float(results: dict[str, Any], family: str, name: str) -> dict[str, Any]:
    """Return how an encoding differs from float32 on the same rigs, as `any_rig.paired`."""

    def flags(of: str) -> np.ndarray:
        balanced = results["families"][family][of]["rigs_balanced"]
        return np.isin(np.arange(results["rigs"]), balanced)

    return paired(flags(name), flags(FLOAT))


if __name__ == "__main__":
    main(tyro.cli(Asked))
