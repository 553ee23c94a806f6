"""Keep the finished runs of a sweep in results/sweep_NAME.json, from which the tables are made.

sparsectl sweep benchmarks/mujoco.toml
python benchmarks/sweep_results.py runs/mujoco [--add]
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from measured import here

from sparsectl.common.files import read_json, write_json
from sparsectl.experiments.folder import results_of
from sparsectl.experiments.results import read_results
from sparsectl.export.table_bytes import table_bytes

RESULTS = Path(__file__).resolve().parent / "results"
ENDS = ("return_mean", "return_low", "return_high")


@dataclass(frozen=True)
class SweepResultsConfig:
    """Which sweep."""

    sweep: Annotated[Path, tyro.conf.Positional]
    """Its folder; the folder's name is that of the result."""
    add: bool = False
    """Keep what the file has of runs that the sweep has not finished, of another machine for
    example."""
    out: Path = RESULTS
    """The folder of the results."""


def kept(sweep: Path) -> dict[str, Any]:
    """The rows of the finished runs, their teachers' returns by environment, what is not finished,
    and the revision that ran the sweep."""
    results = read_results(sweep)
    rows = [asdict(row) for row in results.rows]
    for row in rows:
        student = sweep / (row.pop("folder") or "") / "student.safetensors"
        if row["table_bytes"] is None and student.is_file():
            row["table_bytes"] = table_bytes(student)  # of a sweep that exports nothing
    teachers = {
        run["environment"]: {name: done["teacher"]["result"][name] for name in ENDS}
        for run, done in results_of(sweep)
        if "teacher" in done
    }
    unfinished = [each["run"] for each in results.unfinished]
    found = {"rows": rows, "teachers": teachers, "unfinished": unfinished}
    return found | {"ran_at": ", ".join(results.revisions), "provenance": here()}


def added(found: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The same, followed by the rows of what it has not finished."""
    own = {_name(row) for row in found["rows"]}
    others = {_name(row): row for row in before["rows"] if _name(row) not in own}
    revisions = dict.fromkeys(f"{before['ran_at']}, {found['ran_at']}".split(", "))
    return found | {
        "rows": [*found["rows"], *others.values()],
        "teachers": before["teachers"] | found["teachers"],
        "unfinished": [name for name in found["unfinished"] if name not in others],
        "ran_at": ", ".join(revisions),
    }


def _name(row: dict[str, Any]) -> str:
    """The run's name."""
    return f"{row['environment']}, {row['method']}, seed {row['seed']}"


def main(config: SweepResultsConfig) -> None:
    """Write the file."""
    path = config.out / f"sweep_{config.sweep.resolve().name}.json"
    found = kept(config.sweep)
    if config.add and path.exists():
        found = added(found, read_json(path))
    write_json(path, found)
    print(f"{path.name}: {len(found['rows'])} runs", file=sys.stderr)


if __name__ == "__main__":
    main(tyro.cli(SweepResultsConfig))
