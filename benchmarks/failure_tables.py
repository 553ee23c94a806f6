"""The rows of failures in 10,000 episodes, for the pages that quote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsectl.common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results"


def failures() -> list[str]:
    """A row a policy: how often it fails, and what it returns."""
    results = read_json(RESULTS / "failures.json")
    lines = [
        "| policy | weights | failures in 1,000 | worst hundredth (CVaR) "
        "| mean return, less the teacher's |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in results["policies"]:
        failed, low, high = (row[f"failures_{end}"] for end in ("per_1000", "low", "high"))
        lines.append(
            f"| {_name(row)} | {row['weights']:,} | {failed:.1f} [{low:.1f}, {high:.1f}] "
            f"| {row['cvar_1']:.0f} [{row['cvar_1_low']:.0f}, {row['cvar_1_high']:.0f}] "
            f"| {row['difference']:+.1%} [{row['difference_low']:+.1%}, "
            f"{row['difference_high']:+.1%}] |"
        )
    return [
        *lines,
        "",
        f"{results['episodes']:,} episodes each, the same for all, none of them a search's. "
        f"One fails where it returns less than {results['failed_below']:.0f}, three quarters of "
        "the teacher's mean.",
    ]


def _name(row: dict[str, Any]) -> str:
    if "preset" not in row:
        return "the teacher"
    searched = ""
    if row["search"]:
        sought = {"return": "a higher return", "failures": "fewer failures"}
        aim = sought[row["search"].get("aim", "return")]
        searched = f", after {row['search']['generations']} generations of a search for {aim}"
    learnt = f", {row['transitions']:,} transitions" if "transitions" in row else ""
    return f"a student of `{row['preset']}`, seed {row['seed']}{learnt}{searched}"
