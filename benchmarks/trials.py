"""How often an exported student balances in the virtual rig; writes results/trials.json.

Each trial is driven by the same C firmware in lockstep: swing up, 30 s of balance, one kick; on the
rig as its file has it, and on a unit drawn anew from the file's ranges.

    python benchmarks/trials.py --policy runs/demo/policy [--trials 20]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.policy.onnx_file.reader import read_onnx

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KEYS = ("balanced", "balanced_seconds", "swing_up_seconds", "final_state", "ended", "ticks")


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


def trials(config: TrialsConfig, *, randomised: bool) -> list[dict[str, Any]]:
    """Run the trials; what became of each."""
    rows = []
    for seed in range(config.trials):
        result = run_trial(
            TrialConfig(
                policy=config.policy,
                clock="lockstep",
                seconds=config.seconds,
                seed=seed,
                randomised=randomised,
                out=config.runs / f"{'randomised' if randomised else 'nominal'}-{seed:02d}",
                report=False,
            )
        )
        rows.append({"seed": seed} | {key: result[key] for key in KEYS})
        print(rows[-1])
    return rows


def main(config: TrialsConfig) -> None:
    """Run the trials on the rig as its file has it, and on units drawn from its ranges."""
    results = {
        "digest": read_onnx(config.policy / "policy.onnx").digest,
        "seconds": config.seconds,
        "nominal": trials(config, randomised=False),
        "randomised": trials(config, randomised=True),
        "provenance": provenance(),
    }
    write_json(RESULTS / "trials.json", results)


if __name__ == "__main__":
    main(tyro.cli(TrialsConfig))
