"""Gather the sweep of hardware.toml: what teacher and students cost on every core, into
results/hardware.json.

    sparsectl sweep benchmarks/hardware.toml
    python benchmarks/hardware.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from sparsectl.common.files import read_json, write_json
from sparsectl.experiments.folder import Folder, results_of

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "hardware.json"
COSTS = (
    *(
        "encoding",
        "cycles",
        "cycles_kind",
        "cycles_worst",
        "instructions",
        "clock_hz",
        "microseconds",
    ),
    *("flash_bytes", "flash", "ram_bytes", "stack_bytes", "max_abs_error", "kept_weights"),
    *("bit_exact", "golden_vectors", "observations"),
)
"""Of what `bench` says, all that does not depend on the folder."""

JSON = dict[str, Any]


@dataclass(frozen=True)
class HardwareConfig:
    """What to gather."""

    sweep: Path = ROOT / "runs" / "hardware"
    """Folder of the sweep."""
    out: Path = RESULT
    """The results' file."""


def rows(sweep: Path) -> Iterator[JSON]:
    """A row for each finished bench, and one with the reason where a policy does not fit.

    Raises:
        UserError: the folder is no sweep's, or a file in it is damaged.
    """
    folder = Folder(sweep)
    for run, done in results_of(sweep):
        method, _, board = run["method"].rpartition(", board ")
        row = {"policy": method, "board": board, "seed": run["seed"]}
        if "bench" in done:
            cost = done["bench"]["result"]
            returns = np.array(done["evaluate"]["result"]["returns"])
            row |= {name: cost[name] for name in COSTS}
            row |= {"return_mean": float(returns.mean()), "episodes": returns.size}
            yield row | {"revision": done["bench"]["provenance"]["revision"]}
        elif failed := folder.failed(run["tasks"]["bench"]):
            reason = str(failed["error"]).partition("policy ")[2] or str(failed["error"])
            yield row | {"refused": reason, "revision": failed["provenance"]["revision"]}


def main() -> None:
    config = tyro.cli(HardwareConfig, description=__doc__)
    described = read_json(config.sweep / "sweep.json")
    found = list(rows(config.sweep))
    if len(found) < len(described["runs"]):
        print(f"{len(found)} of {len(described['runs'])} runs are finished")
    kept = ("sparsectl", "revision", "python", "machine")
    provenance = {name: described["provenance"][name] for name in kept}
    write_json(config.out, {"provenance": provenance, "rows": found})


if __name__ == "__main__":
    main()
