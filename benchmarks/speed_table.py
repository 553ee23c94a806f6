"""Rows of the distillation's speed, for the pages that quote it."""

from __future__ import annotations

from pathlib import Path

from common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results"


def training_speed() -> list[str]:
    """A row a variant: rates of both cores and ratios to the plain update's."""
    results = read_json(RESULTS / "training_speed.json")
    lines = [
        "| two processes of one thread on two cores | updates a second of a core's time "
        "| student updates, times the plain update's | 95 % interval |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in results["variants"].items():
        middle, low, high = row["processor_ratio"]
        title = "plain rewrite of the authors' update" if name == "authors" else name
        lines.append(
            f"| {title} | {row['updates_per_processor_second']:.0f} | {middle:.1f} "
            f"| {low:.1f} to {high:.1f} |"
        )
    return lines
