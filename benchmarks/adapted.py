"""The policies for any pendulum where they fail, and adapted from the journals of their failures.

    python benchmarks/adapted.py [--family furuta] [--rigs 400000055]

On each rig, with the C firmware of the `host` board in lockstep with MuJoCo: trials of the policy;
`sparsectl adapt` from the journals of those that failed and a rig file without masses; trials of
what it wrote, from other seeds. The virtual rig has the drawn numbers, which `adapt` is not given.
Rigs that were measured with the same policy before stay in the results.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tyro  # noqa: E402

from sparsectl.command_line.config import AdaptConfig  # noqa: E402
from sparsectl.commands.adapt import adapt  # noqa: E402
from sparsectl.commands.trial import trial  # noqa: E402
from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.export.other_choices import wilson  # noqa: E402
from sparsectl.hil.campaign.config import TrialCommand  # noqa: E402
from sparsectl.plants.drawing import draw_table, rig_text  # noqa: E402
from sparsectl.training.any_rig.deploy import student_path  # noqa: E402

OUT = Path(__file__).parent / "results" / "adapted.json"
KEYS = ("balanced", "balanced_seconds", "swing_up_seconds", "ended")
FIRST_SEED_AFTER = 100


@dataclass(frozen=True)
class Asked:
    """What to run."""

    family: str = "cartpole"
    rigs: tuple[int, ...] = (400_000_013,)
    """Numbers of drawn rigs on which the policy for any of them fails."""
    before: int = 3
    """Trials of that policy on each."""
    after: int = 5
    """Trials of what was adapted."""
    seconds: float = 30.0
    """How long each balances, with a kick."""
    rounds: int = 16
    folder: Path = Path("runs/adapted_rigs")


def main(asked: Asked) -> None:
    """Run all, and write what became of each rig."""
    student = hashlib.sha256(student_path(asked.family).read_bytes()).hexdigest()
    for number in asked.rigs:
        row = {"student": student, "revision": provenance()["revision"], **_rig(number, asked)}
        print(number, row)
        known = read_json(OUT)["rigs"] if OUT.exists() else {}
        rows = {
            name: each
            for name, each in known.items()
            if not name.startswith(asked.family) or each.get("student") == student
        }
        rows[f"{asked.family}_{number}"] = row
        write_json(OUT, {"rigs": rows, "seconds": asked.seconds, "provenance": provenance()})


def _rig(number: int, asked: Asked) -> dict[str, Any]:
    table, policy = draw_table(asked.family, number), Path(f"any-{asked.family}")
    folder = asked.folder / f"{asked.family}_{number}"
    true, bare = folder / "true" / "my_rig.toml", folder / "my_rig.toml"
    true.parent.mkdir(parents=True, exist_ok=True)
    true.write_text(rig_text(table), encoding="utf-8")
    bare.write_text(rig_text(_bare(table)), encoding="utf-8")
    before = [_trial(policy, "before", true, seed, asked) for seed in range(asked.before)]
    failed = [each for each in before if not each["balanced"]]
    if not failed:
        raise SystemExit(f"{policy} balances rig {number} in all trials; name another")
    journals = tuple(Path(each["journal"]) for each in failed)
    made = adapt(
        AdaptConfig(journals, str(bare), folder / "adapted", policy=policy, rounds=asked.rounds)
    )
    seeds = range(FIRST_SEED_AFTER, FIRST_SEED_AFTER + asked.after)
    after = [_trial(Path(made["student"]), "after", true, seed, asked) for seed in seeds]
    return {
        "before": _figures(before),
        "after": _figures(after),
        "drawn": {"before": made["before_share"], "after": made["after_share"]},
        "rounds": asked.rounds,
    }


def _bare(table: dict[str, Any]) -> dict[str, Any]:
    """What a board must know of a rig, and no more."""
    known = ("unit_per_count", "limit", "length_m")
    return {
        "model": table["model"],
        "period_s": table["period_s"],
        "base": {key: table["base"][key] for key in known if key in table["base"]},
        "pole": {"counts_per_turn": table["pole"]["counts_per_turn"]},
    }


def _trial(policy: Path, kind: str, rig: Path, seed: int, asked: Asked) -> dict[str, Any]:
    folder = rig.parent.parent
    return trial(
        TrialCommand(
            policy=policy,
            rig=str(rig),
            clock="lockstep",
            seconds=asked.seconds,
            seed=seed,
            out=folder / f"{kind}-{seed}",
            firmware=folder / f"firmware-{kind}",
            report=False,
        )
    )


def _figures(trials: list[dict[str, Any]]) -> dict[str, Any]:
    balanced = sum(bool(each["balanced"]) for each in trials)
    low, high = wilson(balanced, len(trials))
    rows = [{key: each[key] for key in KEYS} for each in trials]
    return {"balanced": balanced, "trials": len(trials), "low": low, "high": high, "rows": rows}


if __name__ == "__main__":
    main(tyro.cli(Asked, description=__doc__.splitlines()[0]))
