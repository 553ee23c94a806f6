"""The tables of sweeps: a row a method of each environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
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


PRUNED_LATER = ("no Bayesian uncertainty", "pruning by magnitude", "L1")
"""Methods of ablations.toml that prune only while they are fine-tuned."""
WITHOUT, WITH = "bpd", "bpd, fine-tuned"
"""What the methods without and with fine-tuning are compared with."""
FEWEST = 2
"""Fewest seeds whose spread is known."""


def ablation_table(name: str) -> list[str]:
    """Each method of results/sweep_NAME.json less the one that it changes in one thing, a table an
    environment."""
    results = read_json(RESULTS / f"sweep_{name}.json")
    lines = []
    for environment in dict.fromkeys(row["environment"] for row in results["rows"]):
        rows = [row for row in results["rows"] if row["environment"] == environment]
        lines += [f"{environment}:", "", *_ablations(rows), ""]
    return [
        *lines,
        "Students of the same seed learn from the same dataset. In brackets the 95 % interval of "
        "the mean difference over seeds, by Student's t; the verdict is open where the interval "
        "holds 0 or there is one seed. After a figure in brackets: that of the method in the "
        "second column, with the same seeds.",
    ]


def _ablations(of_one: list[dict[str, Any]]) -> list[str]:
    """The table of one environment's rows."""
    head = ["changed", "of", "seeds", "weights", "of the teacher's return", "difference", "verdict"]
    lines = [table_row(head), table_row(["---"] * len(head))]
    by_method: dict[str, dict[int, dict[str, Any]]] = {}
    for row in of_one:
        by_method.setdefault(row["method"], {})[row["seed"]] = row
    for method, rows in by_method.items():
        reference = WITH if method in PRUNED_LATER else WITHOUT
        if method in (WITHOUT, WITH) or reference not in by_method:
            continue
        seeds = sorted(rows.keys() & by_method[reference].keys())
        if seeds:
            own, other = ([each[seed] for seed in seeds] for each in (rows, by_method[reference]))
            lines.append(table_row(_compared(method, reference, own, other)))
    return lines


def _compared(
    method: str, reference: str, rows: list[dict[str, Any]], others: list[dict[str, Any]]
) -> list[str]:
    scores, before = (np.array([row["score"] for row in each]) for each in (rows, others))
    low, high = student_interval(scores - before)
    shown = f" [{low:+.1%}, {high:+.1%}]" if np.isfinite(low) else ""
    verdict = "better" if low > 0 else "worse" if high < 0 else "open"
    return [
        method,
        reference,
        f"{len(rows)}",
        f"{_average(rows, 'kept_weights'):,.0f} ({_average(others, 'kept_weights'):,.0f})",
        f"{scores.mean():.1%} ({before.mean():.1%})",
        f"{(scores - before).mean():+.1%}{shown}",
        verdict,
    ]


def student_interval(differences: Any) -> tuple[float, float]:
    """Return the 95 % interval of a mean by Student's t [low, high]; without ends if there are
    too few values."""
    count = len(differences)
    if count < FEWEST:
        return -np.inf, np.inf
    reach = scipy.stats.t.ppf(0.975, count - 1) * np.std(differences, ddof=1) / np.sqrt(count)
    return float(differences.mean() - reach), float(differences.mean() + reach)
