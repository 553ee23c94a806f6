"""Rows of the comparison in random grid worlds, for the page that quotes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsectl.common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results" / "grid_worlds.json"
SHOWN = (100, 1_000, 10_000, 30_000)
"""Numbers of trajectories that have a column."""


def grid_worlds() -> list[str]:
    """A table an experiment: share of the teacher's return at some numbers of trajectories."""
    lines: list[str] = []
    for found in read_json(RESULTS)["experiments"].values():
        lines += _experiment(found)
    return lines[:-1]


def _experiment(found: dict[str, Any]) -> list[str]:
    shown = [(mark, k) for k, mark in enumerate(found["marks"]) if mark in SHOWN]
    lines = [
        f"**{found['title']}**, {found['worlds']:,} worlds; the teacher returns "
        f"{found['teacher_return']:.1f} on average, random moves {found['random_return']:.1f}.",
        "",
        "| method | step size | "
        + " | ".join(f"after {mark:,}" for mark, _ in shown)
        + " | recovered in | median trajectories until then |",
        "| --- | --- | " + "--- | " * len(shown) + "--- | --- |",
    ]
    for method, row in found["rows"].items():
        cells = [
            f"{row['share'][k]:.2f} [{row['low'][k]:.2f}, {row['high'][k]:.2f}]" for _, k in shown
        ]
        median = row["recovered_median"]
        lines.append(
            f"| {method} | {row['rate']:.1e} | {' | '.join(cells)} | "
            f"{100 * row['recovered']:.0f} % | {'–' if median is None else f'{median:,.0f}'} |"
        )
    if "ratio" in found:
        times = found["ratio"]
        lines += [
            "",
            f"Teacher-driven distillation takes {times['ratio']:.2f} "
            f"[{times['ratio_low']:.2f}, {times['ratio_high']:.2f}] times the trajectories of "
            "student-driven distillation to recover the teacher (geometric mean over worlds).",
        ]
    return [*lines, ""]
