"""Write the tables of the README and of the pages in docs/ from the results.

python benchmarks/tables.py [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import tyro
from advice_tables import trajectory_advice
from any_rig_tables import (
    adapted,
    any_rig,
    any_rig_marks,
    any_rig_students,
    drawn_trials,
    one_or_two_policies,
    teacher_a_rig,
)
from distillation_tables import (
    gaussian_students,
    trajectory_actions,
    trajectory_claims,
    trajectory_control,
    trajectory_differences,
    trajectory_divergences,
    trajectory_last,
    trajectory_methods,
    trajectory_thousand,
    two_colours,
)
from failure_tables import failures
from hardware_tables import hardware
from image_tables import images
from journal_tables import journal_kinds
from method_tables import (
    choices,
    demo,
    encoded,
    method_list,
    methods,
    methods_short,
    stages,
    tasks,
    tasks_pairs,
)
from online_distillation_tables import TABLES as ONLINE
from onnx_tables import node_counts, node_exclusions, node_refusals
from policy_distillation_games import TABLES as BY_GAME
from policy_distillation_tables import TABLES as DISTILLED
from protocol_tables import (
    protocol_enums,
    protocol_hash,
    protocol_overview,
    protocol_payloads,
    protocol_session,
)
from recurrent_tables import encoded_any_rig, long_sequences, recurrent
from speed_table import episode_speed, export_speed, training_curves, training_speed
from sweep_tables import ablation_table, sweep_table
from table_row import table_row

from sparsectl.common.files import atomic_path, read_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(
        ROOT / "docs" / name
        for name in (
            "results.md",
            "training.md",
            "distillation_methods.md",
            "policy_distillation.md",
            "rigs.md",
            "onnx.md",
            "protocol.md",
            "journal.md",
        )
    ),
)


def trials() -> list[str]:
    """How many trials balanced, and how long the swing-up took."""
    results = read_json(RESULTS / "trials.json")
    lines = [
        f"The demo's student as C on the `host` board, trials of {results['seconds']:.0f} s of "
        "balance with a kick on the virtual rig:",
        "",
        "| rig | balanced | swing-up, median | slowest |",
        "| --- | --- | --- | --- |",
    ]
    names = {"nominal": "as its file has it", "randomised": "a unit drawn anew from its ranges"}
    for kind, name in names.items():
        rows = results[kind]
        times = [row["swing_up_seconds"] for row in rows if row["swing_up_seconds"] is not None]
        balanced = sum(row["balanced"] for row in rows)
        lines.append(
            f"| {name} | {balanced} of {len(rows)} | {median(times):.1f} s | {max(times):.1f} s |"
        )
    return lines


def marks() -> list[str]:
    """A row a mark: what was measured, and the peers beside it."""
    rows = read_json(RESULTS / "marks.json")["marks"]
    head = ["target", "mark", "encoding", "cycles", "flash", "RAM", "error", *rows[0]["peers"]]
    lines = [
        table_row(head),
        table_row(["---"] * len(head)),
        *(table_row(_mark_row(row)) for row in rows),
    ]
    note = (
        "Errors are the greatest of 32 observations and, in brackets, of 10,000 others. Over those "
        "2e-07 is out of float32's reach: with each neuron's sum exact and rounded once, c is "
        f"within {rows[0]['float32_floor']:.1e}."
    )
    return [*lines, "", note]


def _mark_row(row: dict[str, Any]) -> list[str]:
    best, mark = row["best"], row["mark"]
    figures = ["nothing keeps to it", "", "", "", ""]
    if best:
        times = row["times_faster_than_teacher"]
        figures = [
            best["name"] + ("" if row["met"] else " (missed)"),
            f"{best['cycles']:,}" + (f", {times:.0f}x fewer" if times else ""),
            f"{best['flash']:,} B",
            f"{best['ram'] + best['stack']:,} B",
            f"{best['error']:.1e} ({row['wide_error']:.1e})",
        ]
    peers = [
        "does not fit" if peer["reason"] else f"{peer['cycles']:,}, {peer['flash']:,} B"
        for peer in row["peers"].values()
    ]
    return [mark["name"], _mark_limits(mark), *figures, *peers]


def _mark_limits(mark: dict[str, Any]) -> str:
    shown = {
        "times_faster_than_teacher": "{:.0f}x fewer cycles",
        "cycles": "{:,} cycles",
        "flash": "{:,} B flash",
        "ram": "{:,} B RAM",
        "error": "error {:.0e}",
    }
    return ", ".join(f.format(mark[n]) for n, f in shown.items() if mark[n] is not None)


def identification() -> list[str]:
    """A row an unknown: how close it is found, and how often its interval holds the truth."""
    results = read_json(RESULTS / "identification.json")
    units = [unit["parameters"] for unit in results["units"]]
    lines = [
        f"`python benchmarks/identification.py` draws {len(units)} units of the cart-pole from its "
        "ranges, runs one trial of 20 s on each, and compares what is found with what was drawn:",
        "",
        "| number | half of the 95 % interval, median | truth within it |",
        "| --- | --- | --- |",
    ]
    for name, inside in results["inside"].items():
        half = median((unit[name]["high"] - unit[name]["low"]) / 2 for unit in units)
        size = median(abs(unit[name]["truth"]) for unit in units)
        lines.append(f"| {name} | {half:.2g} ({half / size:.2%}) | {inside} of {len(units)} |")
    return lines


def test_memory() -> list[str]:
    """The test files that take most memory."""
    results = read_json(RESULTS / "test_memory.json")
    files = results["files"]
    most = sorted(files, key=lambda name: -files[name]["together_mb"])[:8]
    rows = [(f"`{n}`", *(f"{mb:,}" for mb in files[n].values())) for n in most]
    head = ("test file", "own peak, MB", "greatest child", "together")
    return [
        f"Of {len(files)} test files, those that take most memory (revision "
        f"{results['provenance']['revision']}):",
        "",
        *map(table_row, map(list, (head, ["---"] * len(head), *rows))),
    ]


TABLES: dict[str, Callable[[], list[str]]] = {
    "stages": stages,
    "demo": demo,
    "trials": trials,
    "marks": marks,
    "recurrent": recurrent,
    "encoded_any_rig": encoded_any_rig,
    "long_sequences": long_sequences,
    "hardware": hardware,
    "images": images,
    "methods": methods,
    "methods_short": methods_short,
    "encoded": encoded,
    "tasks": tasks,
    "tasks_pairs": tasks_pairs,
    "choices": choices,
    "method_list": method_list,
    "training_speed": training_speed,
    "training_curves": training_curves,
    "episode_speed": episode_speed,
    "export_speed": export_speed,
    "failures": failures,
    "mujoco": partial(sweep_table, "mujoco"),
    "ablation_rows": partial(sweep_table, "ablations"),
    "ablations": partial(ablation_table, "ablations"),
    "identification": identification,
    "any_rig": any_rig,
    "any_furuta": partial(any_rig, "furuta"),
    "drawn_trials": drawn_trials,
    "drawn_furuta_trials": partial(drawn_trials, "furuta"),
    "any_rig_marks": any_rig_marks,
    "any_furuta_marks": partial(any_rig_marks, "furuta"),
    "any_rig_students": any_rig_students,
    "one_or_two_policies": one_or_two_policies,
    "teacher_a_rig": teacher_a_rig,
    "adapted": adapted,
    "test_memory": test_memory,
    "onnx_node_counts": node_counts,
    "onnx_node_refusals": node_refusals,
    "onnx_node_exclusions": node_exclusions,
    "trajectory_advice": trajectory_advice,
    "trajectory_claims": trajectory_claims,
    "trajectory_methods": trajectory_methods,
    "trajectory_thousand": trajectory_thousand,
    "trajectory_control": trajectory_control,
    "trajectory_divergences": trajectory_divergences,
    "trajectory_actions": trajectory_actions,
    "trajectory_last": trajectory_last,
    "trajectory_differences": trajectory_differences,
    "two_colours": two_colours,
    "gaussian_students": gaussian_students,
    "journal_kinds": journal_kinds,
    "protocol_hash": protocol_hash,
    "protocol_overview": protocol_overview,
    "protocol_session": protocol_session,
    "protocol_payloads": protocol_payloads,
    "protocol_enums": protocol_enums,
    **DISTILLED,
    **BY_GAME,
    **ONLINE,
}


def filled(text: str) -> str:
    """A page's text with each table between its marks made anew."""
    for name in re.findall(r"<!-- table: (\w+) -->\n", text):
        head, found, rest = text.partition(f"<!-- table: {name} -->\n")
        _, closed, tail = rest.partition("<!-- end -->")
        if name not in TABLES or not closed:
            raise ValueError(f"a page has a place for the table {name!r}, which there is not")
        text = head + found + "\n".join(TABLES[name]()) + "\n" + closed + tail
    return text


@dataclass(frozen=True)
class TablesConfig:
    """Write the tables into their pages."""

    check: bool = False
    """Only say whether they are up to date; exit code 1 when not."""


def main(config: TablesConfig) -> None:
    """Write or check."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        wanted = filled(text)
        if config.check and wanted != text:
            name = page.relative_to(ROOT)
            sys.exit(f"{name}: tables are not those of the results; run benchmarks/tables.py")
        if not config.check and wanted != text:
            with atomic_path(page) as temporary:
                temporary.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(TablesConfig))
