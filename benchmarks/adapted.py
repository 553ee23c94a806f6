"""The policy for any cart-pole where it fails, and adapted from the journals of its failures.

    python benchmarks/adapted.py [--rigs 400000038]

On each rig, with the C firmware of the `host` board in lockstep with MuJoCo: trials of any-
cartpole; `sparsectl adapt` from the journals of those that failed and a rig file without masses;
trials of what it wrote, from other seeds. The virtual rig has the drawn numbers, which `adapt` is
not given.
"""

from __future__ import annotations

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

OUT = Path(__file__).parent / "results" / "adapted.json"
FAMILY = "cartpole"
ANY = Path("any-cartpole")
KEYS = ("balanced", "balanced_seconds", "swing_up_seconds", "ended")
FIRST_SEED_AFTER = 100


@dataclass(frozen=True)
class Asked:
    """What to run."""

    rigs: tuple[int, ...] = (400_000_038,)
    """Numbers of drawn cart-poles on which any-cartpole fails."""
    before: int = 3
    """Trials of any-cartpole on each."""
    after: int = 5
    """Trials of what was adapted."""
    seconds: float = 30.0
    """How long each balances, with a kick."""
    rounds: int = 16
    folder: Path = Path("runs/adapted_rigs")


def main(asked: Asked) -> None:
    """Run all, and write what became of each rig; rigs that were measured before stay."""
    rows = {} if not OUT.exists() else read_json(OUT)["rigs"]
    for number in asked.rigs:
        rows[str(number)] = row = _rig(number, asked)
        print(number, row)
        write_json(OUT, {"rigs": rows, "seconds": asked.seconds, "provenance": provenance()})


def _rig(number: int, asked: Asked) -> dict[str, Any]:
    folder, table = asked.folder / str(number), draw_table(FAMILY, number)
    true, bare = folder / "true" / "my_rig.toml", folder / "my_rig.toml"
    true.parent.mkdir(parents=True, exist_ok=True)
    true.write_text(rig_text(table), encoding="utf-8")
    bare.write_text(rig_text(_bare(table)), encoding="utf-8")
    before = [_trial(ANY, true, folder, seed, asked) for seed in range(asked.before)]
    failed = [each for each in before if not each["balanced"]]
    if not failed:
        raise SystemExit(f"any-cartpole balances rig {number} in all trials; name another")
    journals = tuple(Path(each["journal"]) for each in failed)
    made = adapt(AdaptConfig(journals, str(bare), folder / "adapted", rounds=asked.rounds))
    seeds = range(FIRST_SEED_AFTER, FIRST_SEED_AFTER + asked.after)
    after = [_trial(Path(made["student"]), true, folder, seed, asked) for seed in seeds]
    return {
        "before": _figures(before),
        "after": _figures(after),
        "drawn": {"before": made["before_share"], "after": made["after_share"]},
        "rounds": asked.rounds,
    }


def _bare(table: dict[str, Any]) -> dict[str, Any]:
    """What a board must know of a rig, and no more."""
    return {
        "period_s": table["period_s"],
        "base": {key: table["base"][key] for key in ("unit_per_count", "limit")},
        "pole": {"counts_per_turn": table["pole"]["counts_per_turn"]},
    }


def _trial(policy: Path, rig: Path, folder: Path, seed: int, asked: Asked) -> dict[str, Any]:
    kind = "before" if policy == ANY else "after"
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
