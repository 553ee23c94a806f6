"""The tables of docs/training.md, from results/methods_sensorsini_cartpole.json."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import binomtest, t

from sparsectl.common.files import read_json
from sparsectl.training.methods import METHODS

RESULTS = Path(__file__).resolve().parent / "results"

JSON = dict[str, Any]

DEMO = "bpd, quick-236"
"""The recipe that `sparsectl demo` takes."""


SHORT = ("paper", "gradual-363", "offline-noisy-363", "small, quick-322", DEMO)
"""The rows of the README."""


def methods_short() -> list[str]:
    """The rows of `methods` that a newcomer should see."""
    return methods(SHORT)


def methods(only: Collection[str] = ()) -> list[str]:
    """A row a method and size, over its seeds, the smallest last; `only` those, or all."""
    results = _results()
    rows = defaultdict(list)
    for student in results["students"]:
        if not only or student["recipe"] in only:
            rows[student["recipe"]].append(student)
    teacher = results["teachers"][results["teacher"]]
    lines = [
        f"Teacher: 72,705 parameters, return {teacher['return_mean']:.1f}, worst of "
        f"{teacher['episodes']} randomised episodes {teacher['return_min']:.0f}. Each student in "
        "the same episodes; shares are of the teacher's; mean over the seeds [worst, best seed].",
        "",
        "| method | weights | bytes of tables | seeds | mean return | worst episode |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in sorted(rows, key=lambda name: (-round(_weights(rows[name]), -1), name)):
        lines.append(_method_row(name, rows[name], results))
    return lines + _footnote(results, {row["teacher"] for found in rows.values() for row in found})


def _results() -> JSON:
    """Students and teachers; a student names its own, for there were others before."""
    results: JSON = read_json(RESULTS / "methods_sensorsini_cartpole.json")
    return results


FORMER = " †"
"""After the name of a row with students of a former teacher."""


def _footnote(results: JSON, shown: Collection[str]) -> list[str]:
    """What the mark means, where there is one."""
    lines = []
    for name in sorted(set(shown) - {results["teacher"]}):
        figures = results["teachers"][name]
        lines += [
            "",
            f"{FORMER.strip()} students of a former teacher (return {figures['return_mean']:.1f}, "
            f"worst {figures['return_min']:.0f}), whose shares these are.",
        ]
    return lines


def _weights(rows: list[JSON]) -> float:
    return mean(row["distill"]["kept_weights"] for row in rows)


def _method_row(name: str, rows: list[JSON], results: JSON) -> str:
    own = rows[0]["teacher"]
    teacher = results["teachers"][own]
    returned = [row["evaluate"]["return_mean"] / teacher["return_mean"] for row in rows]
    worst = [row["evaluate"]["return_min"] / teacher["return_min"] for row in rows]
    kept = _weights(rows)
    cells = [
        re.sub(r"-\d+$", "", name) + (FORMER if own != results["teacher"] else ""),
        f"{kept:.0f} ({kept / rows[0]['distill']['teacher_parameters']:.2%})",
        f"{mean(row['flash_bytes'] for row in rows):,.0f}",
        str(len(rows)),
        _range(returned),
        _range(worst),
    ]
    return "| " + " | ".join(cells) + " |"


def _range(shares: list[float]) -> str:
    if len(shares) == 1:
        return f"{shares[0]:.1%}"
    return f"{mean(shares):.1%} [{min(shares):.1%}, {max(shares):.1%}]"


def stages() -> list[str]:
    """What each stage of the demo's recipe brought, as means over the seeds."""
    results = _results()
    students = [row for row in results["students"] if row["recipe"] == DEMO]
    teacher = results["teachers"][students[0]["teacher"]]["return_mean"]
    runs = [row["distill"]["steps"] for row in students]
    lines = ["| after | weights kept | return, of the teacher's | worst episode |"]
    lines.append("| --- | --- | --- | --- |")
    for steps in zip(*runs, strict=True):
        kept = mean(step["kept_weights"] for step in steps)
        returned = mean(step["return_mean"] for step in steps) / teacher
        worst = min(step["return_min"] for step in steps)
        lines.append(
            f"| {_stage_name(steps[0]['name'])} | {kept:,.0f} | {returned:.1%} | {worst:.0f} |"
        )
    return lines


def _stage_name(name: str) -> str:
    stage, _, number = name.partition("-")
    words = {
        "bpd": "distillation (BPD) on the teacher's data",
        "finetune": f"fine-tuning with data of round {number}"
        if number
        else "fine-tuning under the mask",
    }
    return words[stage]


def failures() -> list[str]:
    """A row a recipe: of how many episodes its students failed in how many, beside the teacher."""
    results = read_json(RESULTS / "failures_sensorsini_cartpole.json")
    rows = defaultdict(list)
    for name, row in sorted(results["policies"].items()):
        rows[re.sub(r"-\d+$", "", name)].append(row)
    lines = [
        f"Failures: episodes that returned less than {results['least']:.0f}.",
        "",
        "| students | seeds | episodes | failures, seed by seed | in 1,000 (95 % interval) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in sorted(rows.items()):
        failed, episodes = (sum(row[key] for row in found) for key in ("failures", "episodes"))
        rate = binomtest(failed, episodes).proportion_ci()
        each = ", ".join(str(row["failures"]) for row in found)
        lines.append(
            f"| {name} | {len(found)} | {episodes:,} | {each} | {1000 * failed / episodes:.1f} "
            f"[{1000 * rate.low:.1f}, {1000 * rate.high:.1f}] |"
        )
    return lines


def encoded() -> list[str]:
    """A row a student and encoding."""
    results = read_json(RESULTS / "encoded_returns.json")
    lines = [
        "| student | encoding | calibrated on | return (95 % interval) | worst episode |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in results["students"]:
        interval = f"[{row['return_low']:.1f}, {row['return_high']:.1f}]"
        lines.append(
            f"| {row['student']}, {row['kept_weights']} weights | {row['encoding']} "
            f"| {row['calibration']} | {row['return_mean']:.1f} {interval} "
            f"| {row['return_min']:.0f} |"
        )
    return lines


def method_list() -> list[str]:
    """What `--method` takes."""
    lines = ["| `--method` | what it is |", "| --- | --- |"]
    return [*lines, *(f"| {name} | {method.summary} |" for name, method in METHODS.items())]


PAIRS = (
    ("bpd, quick-236", "small, quick-322"),
    ("bpd, quick-150", "small, quick-250"),
)
"""Sparse and dense students of as many bytes."""


def equal_bytes() -> list[str]:
    """A row a pair of recipes: what the sparse one returns less the dense one, seed by seed."""
    results = _results()
    own = results["teacher"]
    found = {(r["recipe"], r["seed"]): r for r in results["students"] if r["teacher"] == own}
    lines = [
        "| sparse | dense | bytes of tables | seeds | mean return, sparse less dense "
        "| worst episode, sparse less dense |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for sparse, dense in PAIRS:
        seeds = sorted(s for name, s in found if name == sparse and (dense, s) in found)
        pairs = [(found[sparse, seed], found[dense, seed]) for seed in seeds]
        if len(pairs) > 1:
            lines.append(_pair_row(sparse, dense, pairs, results["teachers"][own]))
    return lines


def _pair_row(sparse: str, dense: str, pairs: list[tuple[JSON, JSON]], teacher: JSON) -> str:
    sizes = [mean(row["flash_bytes"] for row in rows) for rows in zip(*pairs, strict=True)]
    cells = [sparse, dense, f"{sizes[0]:,.0f} and {sizes[1]:,.0f}", str(len(pairs))]
    for key in ("return_mean", "return_min"):
        lost = [one["evaluate"][key] - two["evaluate"][key] for one, two in pairs]
        cells.append(_difference([value / teacher[key] for value in lost]))
    return "| " + " | ".join(cells) + " |"


def _difference(values: list[float]) -> str:
    """Mean and 95 % interval (Student's t) over the seeds, in hundredths of the teacher's."""
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    middle = mean(values)
    return f"{middle:+.1%} [{middle - half:+.1%}, {middle + half:+.1%}]"
