"""Rows of the distillation's speed, and of what it learns, for the pages that quote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from training_curves import standard_error
from training_speed import BASES, PROCESSES, STUDENTS, THREADED

from sparsectl.common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results"
MARKS = {
    f"{STUDENTS} students, bfloat16": ("a full update", 5),
    f"{STUDENTS} students, critics fitted once": ("a student update, critics fitted once", 12),
}
"""What each of these is, and how many times the authors' it should be."""

CORES = 2
"""Of the machine that the results are from."""

IDLE = 0.95
"""Of the cores' time went to the measured processes; two threads that wait for one another stall
as soon as one of them has to wait for other work, so below this their base says nothing."""


def training_speed() -> list[str]:
    """A row a variant: rates of both cores and ratios to the plain update's, as it may be run."""
    results = read_json(RESULTS / "training_speed.json")["variants"]
    lines = [
        "| both cores work in each row | updates a second of a core's time "
        "| student updates, times those of one process of two threads | of two processes |",
        "| --- | --- | --- | --- |",
    ]
    judged = bases(results)
    for name, row in results.items():
        if name in BASES and name not in judged:
            continue
        ratios = [cell(row, base, judged) for base in BASES]
        rate = row["updates_per_processor_second"]
        lines.append(f"| {name} | {rate:.0f} | {ratios[0]} | {ratios[1]} |")
    return [*lines, "", *verdicts(results)]


def bases(results: dict[str, Any]) -> list[str]:
    """Those that can be judged: two threads only where the machine had nothing else to do."""
    row = results[PROCESSES]
    share = row["updates_per_second"] / (2 * row["updates_per_processor_second"])
    return [base for base in BASES if base != THREADED or share >= IDLE]


def cell(row: dict[str, Any], base: str, judged: list[str]) -> str:
    """A ratio with its interval."""
    if base not in judged:
        return "not judged, machine busy"
    middle, low, high = row["ratios"][base]["processor"]
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def verdicts(results: dict[str, Any]) -> list[str]:
    """Which mark is met against which base, a line a mark."""
    lines = []
    for name, (what, mark) in MARKS.items():
        words = []
        for base in bases(results):
            middle, low, _ = results[name]["ratios"][base]["processor"]
            words.append(f"{_verdict(middle, low, mark)} against the {base} ({middle:.1f})")
        lines.append(f"- {what}, at least {mark} times the authors': {', '.join(words)}.")
    return lines


def _verdict(middle: float, low: float, mark: float) -> str:
    if low >= mark:
        return "met"
    return "met by the median, not by all of its interval," if middle >= mark else "missed"


COLUMNS = ("imitation", "divergence", "kept_weights", "return")


def training_curves() -> list[str]:
    """A row a trainer: its students at the end, mean over the seeds and standard error."""
    results = read_json(RESULTS / "training_curves.json")
    lines = [
        f"| after {results['settings']['steps']:,} steps, {len(results['seeds'])} seeds "
        "| imitation loss | divergence | weights kept | return |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, rows in results["curves"].items():
        cells = []
        for column in COLUMNS:
            values = np.array([figures[column] for figures in rows[-1]])
            cells.append(f"{values.mean():,.4g} ± {standard_error(values):.2g}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def episode_speed() -> list[str]:
    """A row a rig and a number of episodes side by side: steps a second, and the ratio."""
    results = read_json(RESULTS / "episode_speed.json")
    lines = [
        "| rig | episodes side by side | steps a second | times those of one environment |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in results["summary"].items():
        rig, width = name.removesuffix(" side by side").split(", ")
        ratio = f"{row['ratio']:.1f} [{row['least']:.1f}, {row['most']:.1f}]"
        lines.append(f"| {rig} | {width} | {row['steps_per_second']:,.0f} | {ratio} |")
    repeats, revision = results["settings"]["repeats"], results["provenance"]["revision"]
    return [*lines, "", f"Medians of {repeats} repeats and their span, revision {revision}."]


def export_speed() -> list[str]:
    """A row a network and a board: seconds of an export before and after, and what differs."""
    results = read_json(RESULTS / "export_speed.json")
    lines = [
        "| network and board | processor's seconds before | after | times less | clock's seconds "
        "before | after | files that differ |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in results["rows"].items():
        before, after = row["before"], row["after"]
        cells = [f"{each['processor_s']:.1f}" for each in (before, after)]
        cells.append(f"{before['processor_s'] / after['processor_s']:.1f}")
        cells += [f"{each['clock_s']:.1f}" for each in (before, after)]
        differs = ", ".join(row["differs"]) or f"none of {row['files']}"
        if row["refused"] and row["files"]:
            differs = "all: it was refused before"
        lines.append(f"| {name} | {' | '.join(cells)} | {differs} |")
    revisions = ", ".join(dict.fromkeys(row["revision"] for row in results["rows"].values()))
    load = max(row["load"] for row in results["rows"].values())
    busy = f"The load was {load:.1f} at most: the machine did nothing else."
    if load > CORES:
        busy = (
            f"Up to {load:.0f} processes wanted the {CORES} cores meanwhile: the clock's seconds "
            "say nothing of a machine that is free."
        )
    return [
        *lines,
        "",
        f"Revisions {revisions}, before them {row['before_revision']}. {busy}",
    ]
