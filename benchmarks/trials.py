"""How often an exported student balances in the virtual rig; writes results/trials.json.

Each trial is driven by the same C firmware in lockstep: swing up, 30 s of balance, one kick; on the
rig as its file has it, and on a unit drawn anew from the file's ranges.

    python benchmarks/trials.py --policy runs/demo/policy [--trials 20]

A policy for any pendulum is tried on rigs drawn anew, one a seed, each with a firmware of its own;
that writes results/trials_on_drawn_rigs.json, and of arms trials_on_drawn_furutas.json:

    python benchmarks/trials.py --policy any-cartpole --rigs 200 --first 700000000 720000000
    python benchmarks/trials.py --policy any-furuta --rigs 200 --first 700000000 720000000

The same command resumes where it was stopped: each rig's row is kept in --runs.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from sparsectl.commands.any_rig.policies import FAMILIES, for_rig
from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.export.other_choices import wilson
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.drawing import draw_table, rig_text
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.training.any_rig.deploy import student_path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KEYS = ("balanced", "balanced_seconds", "swing_up_seconds", "final_state", "ended", "ticks")
ON_DRAWN = {"cartpole": "trials_on_drawn_rigs.json"}
FIRST_RIG = 700_000_000
"""No rig from 500,000,000 on is drawn in training or in the choice of a gain; `any_rig.py` measures
on the first 1,000 of those, and the board's check of a reversed base was tried on some from
600,000,000 on (`reversed_base.py`). From here on none was drawn before."""


@dataclass(frozen=True)
class TrialsConfig:
    """What to run."""

    policy: Path = ROOT / "runs" / "demo" / "policy"
    """Folder that `sparsectl export` wrote; with --rigs also any-cartpole or any-furuta."""
    trials: int = 20
    """Seeds 0 to this."""
    seconds: float = 30.0
    """How long each balances."""
    runs: Path = ROOT / "runs" / "trials"
    """Folder of the journals."""
    rigs: int = 0
    """Try the policy on so many rigs drawn anew in place of its own; 0: its own."""
    family: str = ""
    """Of the drawn rigs: a file in plants/ranges/; by default the policy's own, or cartpole."""
    first: tuple[int, ...] = (FIRST_RIG,)
    """Number of the first drawn rig; with several as many rigs from each on."""
    out: Path | None = None
    """File for the figures in place of the one in results/."""


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


def trials_on_drawn_rigs(config: TrialsConfig) -> list[dict[str, Any]]:
    """A trial on each drawn rig; what became of it, or why the rig was refused. Rows that an
    earlier run kept, of the same policy and length, are not run again."""
    kept = config.runs / f"{config.family}_rows.json"
    same = {"digest": _identity(config.policy), "seconds": config.seconds}
    known = read_json(kept) if kept.is_file() else {}
    rows = {row["rig"]: row for row in known.get("rows", ()) if known.get("same") == same}
    wanted = [first + number for first in config.first for number in range(config.rigs)]
    revision = provenance()["revision"]
    for number in Progress(
        [number for number in wanted if number not in rows], desc=config.family, unit="rig"
    ):
        rows[number] = {"rig": number, "revision": revision, **_trial_on(config, number)}
        write_json(kept, {"same": same, "rows": list(rows.values())})
    return [rows[number] for number in wanted]


def _trial_on(config: TrialsConfig, number: int) -> dict[str, Any]:
    """One trial on the drawn rig of this number, with a firmware of its own."""
    out = config.runs / f"{config.family}-{number}"
    rig = config.runs / f"{config.family}_{number}.toml"
    rig.parent.mkdir(parents=True, exist_ok=True)
    rig.write_text(rig_text(draw_table(config.family, number)), encoding="utf-8")
    folder = config.policy
    try:
        folder, _ = for_rig(config.policy, str(rig))
        result = run_trial(
            TrialConfig(
                policy=folder,
                rig=str(rig),
                clock="lockstep",
                seconds=config.seconds,
                seed=number,
                out=out,
                report=False,
            )
        )
        row = {key: result[key] for key in (*KEYS, "fault")}
    except UserError as error:
        row = {"balanced": False, "balanced_seconds": 0.0, "ended": f"refused: {error}"}
    shutil.rmtree(out / "firmware", ignore_errors=True)  # each rig's own; the journal stays
    if folder != config.policy:
        shutil.rmtree(folder.parent, ignore_errors=True)
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The share that swings up and balances to the end, with Wilson's 95 % interval, how the others
    ended, and the worst hundredth of the rigs, at least one: those that balanced for the shortest
    time."""
    balanced = sum(row["balanced"] for row in rows)
    low, high = wilson(balanced, len(rows))
    worst = sorted(rows, key=lambda row: float(row["balanced_seconds"]))
    return {
        "share": balanced / len(rows),
        "share_low": low,
        "share_high": high,
        "failed": dict(Counter(_ending(row) for row in rows if not row["balanced"]).most_common()),
        "worst": [row | {"how": _ending(row)} for row in worst[: max(1, len(rows) // 100)]],
    }


def _ending(row: dict[str, Any]) -> str:
    """How a trial ended: the board's fault, or what the pole did; why it could not be run."""
    if row["balanced"]:
        return "balanced to the end"
    if "fault" not in row:
        return str(row["ended"])
    if row["fault"] != "NONE":
        return str(row["fault"])
    return "never up" if row["swing_up_seconds"] is None else "up, and down again"


def _identity(policy: Path) -> str:
    """Digest of a policy's folder, or the SHA-256 of the student of one for any rig."""
    family = FAMILIES.get(str(policy))
    if family is None:
        return read_onnx(policy / "policy.onnx").digest
    return hashlib.sha256(student_path(family).read_bytes()).hexdigest()


def main(config: TrialsConfig) -> None:
    """Run the trials on the rig as its file has it, and on units drawn from its ranges; or on rigs
    drawn anew."""
    config = replace(config, family=config.family or FAMILIES.get(str(config.policy), "cartpole"))
    results: dict[str, Any] = {"digest": _identity(config.policy), "seconds": config.seconds}
    if config.rigs:
        rows = trials_on_drawn_rigs(config)
        spans = [[first, first + config.rigs - 1] for first in config.first]
        results |= {"family": config.family, "spans": spans, **summary(rows), "rigs": rows}
        name = ON_DRAWN.get(config.family, f"trials_on_drawn_{config.family}s.json")
        low, high = results["share_low"], results["share_high"]
        print(f"{results['share']:.1%} of {len(rows)} rigs, [{low:.1%}, {high:.1%}]")
    else:
        results |= {
            "nominal": trials(config, randomised=False),
            "randomised": trials(config, randomised=True),
        }
        name = "trials.json"
    write_json(config.out or RESULTS / name, results | {"provenance": provenance()})


if __name__ == "__main__":
    main(tyro.cli(TrialsConfig))
