"""The tables of sweeps: a row a method of each environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from table_row import table_row

from sparsectl.common.files import read_json
from sparsectl.experiments.statistics import interval, mean

RESULTS = Path(__file__).resolve().parent / "results"
HEAD = (
    "student",
    "weights",
    "with biases",
    "bytes of tables",
    "seeds",
    "mean return",
    "of the teacher's",
    "lowest seed",
)


def sweep_table(name: str) -> list[str]:
    """The rows of results/sweep_NAME.json."""
    results = read_json(RESULTS / f"sweep_{name}.json")
    lines = []
    for environment in dict.fromkeys(row["environment"] for row in results["rows"]):
        rows = [row for row in results["rows"] if row["environment"] == environment]
        lines += [
            _teacher(environment, rows[0], results["teachers"][environment]),
            "",
            table_row(list(HEAD)),
        ]
        lines.append(table_row(["---"] * len(HEAD)))
        for method in dict.fromkeys(row["method"] for row in rows):
            lines.append(table_row(_row([row for row in rows if row["method"] == method])))
        lines.append("")
    waits = len(results["unfinished"])
    left = f" {waits} runs of the file are not finished." if waits else ""
    return [
        *lines,
        "In brackets the 95 % interval of the mean over seeds, by the bootstrap of the runs; each "
        f"run is measured in {results['rows'][0]['episodes']} episodes, the same as the teacher's. "
        f"Revision {results['ran_at']}.{left}",
    ]


def _teacher(environment: str, row: dict[str, Any], returned: dict[str, float]) -> str:
    return (
        f"{environment}: the teacher has {row['teacher_weights']:,} weights, "
        f"{row['teacher_parameters']:,} with biases; its return in these episodes is "
        f"{returned['return_mean']:,.0f} [{returned['return_low']:,.0f}, "
        f"{returned['return_high']:,.0f}]."
    )


def _row(rows: list[dict[str, Any]]) -> list[str]:
    """Means over the seeds of a method."""
    scores = np.array([row["score"] for row in rows])
    between = interval(mean, [scores])
    shown = f" [{between[0]:.1%}, {between[1]:.1%}]" if between else ""
    return [
        rows[0]["method"],
        _counted(rows, "kept_weights", "teacher_weights"),
        _counted(rows, "kept_parameters", "teacher_parameters"),
        f"{_average(rows, 'table_bytes'):,.0f}",
        f"{len(rows)}",
        f"{_average(rows, 'return_mean'):,.0f}",
        f"{scores.mean():.1%}{shown}",
        f"{scores.min():.1%}",
    ]


def _counted(rows: list[dict[str, Any]], name: str, of: str) -> str:
    share = np.mean([row[name] / row[of] for row in rows])
    return f"{_average(rows, name):,.0f} ({share:.2%})"


def _average(rows: list[dict[str, Any]], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))
