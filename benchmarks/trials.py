"""How often an exported student balances in the virtual rig; writes results/trials.json.

Each trial is a new unit of the rig, drawn from its ranges, driven by the same C firmware in
lockstep: swing up, 30 s of balance, one kick.

    python benchmarks/trials.py --policy runs/demo/policy [--trials 20]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from common.files import write_json
from common.provenance import provenance
from hil.config import TrialConfig
from hil.trial import run_trial

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class TrialsConfig:
    """What to run."""

    policy: Path = ROOT / "runs" / "demo" / "policy"
    """Folder that `sparsectl export` wrote."""
    trials: int = 20
    """Seeds 0 to this."""
    seconds: float = 30.0
    """How long each balances."""
    runs: Path = ROOT / "runs" / "trials"
    """Folder of the journals."""


def main(config: TrialsConfig) -> None:
    """Run the trials and write what became of each."""
    rows = []
    for seed in range(config.trials):
        result = run_trial(
            TrialConfig(
                policy=config.policy,
                clock="lockstep",
                seconds=config.seconds,
                seed=seed,
                randomised=True,
                out=config.runs / f"{seed:02d}",
                report=False,
            )
        )
        keys = ("balanced", "balanced_seconds", "swing_up_seconds", "final_state", "ticks")
        rows.append({"seed": seed} | {key: result[key] for key in keys})
        print(rows[-1])
    balanced = sum(row["balanced"] for row in rows)
    print(f"{balanced} of {len(rows)} balanced")
    write_json(
        RESULTS / "trials.json",
        {
            "digest": result["digest"],
            "balanced": balanced,
            "trials": rows,
            "provenance": provenance(),
        },
    )


if __name__ == "__main__":
    main(tyro.cli(TrialsConfig))
