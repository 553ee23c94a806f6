"""How rarely students fail: 1,000 episodes by which none was chosen; results/failures_RIG.json.

A hundred episodes hardly show a failure of two in a thousand, and even the teacher has some. An
episode counts as one where it returns less than nine tenths of the teacher's worst of
`sparsectl evaluate`'s hundred. Students are those of benchmarks/methods.py; what is measured is not
measured again while the student's file stays the same.

    python benchmarks/failures.py [--recipes gradual-363]
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from tqdm import tqdm

from sparsectl.common.files import read_json, write_json
from sparsectl.common.provenance import provenance
from sparsectl.training.evaluate import run_episodes
from sparsectl.training.policy import load_policy

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
EPISODES, AT_ONCE = 1000, 250
FIRST_SEED = 80_000
"""Neither evaluation's nor those of any round."""
SHARE = 0.9

JSON = dict[str, Any]


@dataclass(frozen=True)
class FailuresConfig:
    """Whom to measure."""

    recipes: tuple[str, ...] = ("gradual-363",)
    """Of benchmarks/methods.py; all their seeds that are finished."""
    rig: str = "sensorsini_cartpole"
    """A rig that comes with a teacher."""
    runs: Path = ROOT / "runs" / "methods"
    """Folder of the runs."""


def measured(policy: Path, rig: str, least: float) -> JSON:
    """The figures of one policy over all episodes."""
    act = load_policy(policy).act
    returns = np.concatenate(
        [
            run_episodes(
                f"sparsectl/{rig}-v0", act, episodes=AT_ONCE, seed=FIRST_SEED + start
            ).returns
            for start in range(0, EPISODES, AT_ONCE)
        ]
    )
    return {
        "episodes": EPISODES,
        "failures": int((returns < least).sum()),
        "return_mean": float(returns.mean()),
        "lowest": [round(float(value), 1) for value in np.sort(returns)[:10]],
        "sha256": hashlib.sha256(policy.read_bytes()).hexdigest(),
        "provenance": provenance(),
    }


def main(config: FailuresConfig) -> None:
    """Measure what is missing and write all."""
    path = RESULTS / f"failures_{config.rig}.json"
    teacher = ROOT / "training" / "teachers" / f"{config.rig}.onnx"
    methods = read_json(RESULTS / f"methods_{config.rig}.json")
    least = SHARE * methods["teachers"][methods["teacher"]]["return_min"]
    result = read_json(path) if path.is_file() else {}
    if result.get("least") != least:  # another teacher, by which all are judged
        result = {"least": least, "policies": {}}
    wanted = {"teacher": teacher}
    for recipe in config.recipes:
        for folder in sorted((config.runs / config.rig).glob(f"{recipe}-*")):
            if (folder / "result.json").is_file():
                wanted[folder.name] = folder / "student.safetensors"
    for name, policy in tqdm(wanted.items(), unit="policy"):
        known = result["policies"].get(name, {}).get("sha256")
        if known != hashlib.sha256(policy.read_bytes()).hexdigest():
            result["policies"][name] = measured(policy, config.rig, result["least"])
            write_json(path, result)


if __name__ == "__main__":
    main(tyro.cli(FailuresConfig))
