"""Draw docs/grid_worlds.svg, two_colours.svg and gaussian_students.svg from the results.

python benchmarks/grid_world_figures.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from two_colours import PATHS, START, path_of

from sparsectl.common.files import read_json
from sparsectl.training.trajectory.methods import ALL

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"

COLOURS = {method: f"C{number}" for number, method in enumerate(list(ALL)[:10])}
COLOURS |= {"teacher V, one step": "0.25", "policy gradient": "0.6"}
FINAL = {
    "noisy teacher": "Teacher with 25 % noise",
    "adverse teacher": "Teacher that learnt to lose (−1)",
    "corridor": "Corridor, good teacher",
    "adverse corridor": "Corridor, adverse teacher (−1)",
    "partial view": "Student sees 3 x 3 cells",
    "moved back": "Goals and pits move to the start",
    "without end": "Nothing ends, average reward",
}
"""Experiments of which the last mark is drawn."""


def drawn_curves(axes: Any, found: dict[str, Any], title: str) -> None:
    """Share of the teacher against trajectories, with intervals."""
    marks = np.maximum(found["marks"], 0.5)
    for method, row in found["rows"].items():
        colour = COLOURS.get(method, "0.5")
        axes.plot(marks, row["share"], color=colour, linewidth=1.4, label=method)
        axes.fill_between(marks, row["low"], row["high"], color=colour, alpha=0.2, linewidth=0)
    axes.axhline(1, color="0.6", linewidth=0.8)
    axes.set(xscale="log", ylim=(-0.35, 1.25), xlabel="trajectories")
    axes.set_ylabel("share of the teacher")
    axes.set_title(f"{title}, {found['worlds']} worlds", fontsize=9)
    axes.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1))


def drawn_control(axes: Any, found: dict[str, Any]) -> None:
    """Divergence-free view of who acts: share against trajectories at the step size 0.01."""
    marks = np.maximum(found["marks"], 0.5)
    for method, rows in found["rows"].items():
        for row, line in zip(rows, (":", "--", "-", None), strict=True):
            if line is not None:
                label = method if line == "-" else None
                axes.plot(marks, row["share"], line, color=COLOURS[method], lw=1.2, label=label)
    axes.set(xscale="log", ylim=(-0.1, 1.1), xlabel="trajectories", ylabel="share of the teacher")
    axes.set_title(
        f"Who acts; step size 0.001 …, 0.01 --, 0.1 –; {found['worlds']} worlds", fontsize=9
    )
    axes.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1))


def drawn_actions(axes: Any, experiments: dict[str, Any]) -> None:
    """The last share against the number of actions."""
    numbers = [n for n in (4, 32, 256, 1000) if f"actions {n}" in experiments]
    for method in experiments[f"actions {numbers[0]}"]["rows"]:
        rows = [experiments[f"actions {number}"]["rows"][method] for number in numbers]
        shares = np.array([row["share"][-1] for row in rows])
        ends = np.array([[row["low"][-1], row["high"][-1]] for row in rows]).T
        around = np.abs(ends - shares)
        axes.errorbar(
            numbers, shares, around, color=COLOURS[method], label=method, capsize=2, lw=1.2
        )
    worlds = sorted({experiments[f"actions {number}"]["worlds"] for number in numbers})
    axes.set(xscale="log", ylim=(-0.35, 1.25), xlabel="actions", ylabel="share of the teacher")
    axes.set_title(
        f"More actions, after 3,000 trajectories, {worlds[0]} worlds or more", fontsize=9
    )
    axes.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1))


def drawn_last(axes: Any, found: dict[str, Any], title: str) -> None:
    """A point with its interval for each method."""
    methods = list(found["rows"])[::-1]
    for height, method in enumerate(methods):
        row = found["rows"][method]
        low, share, high = row["low"][-1], row["share"][-1], row["high"][-1]
        axes.plot([max(low, -1.6), min(high, 1.6)], [height] * 2, color=COLOURS.get(method, "0.5"))
        axes.plot(np.clip(share, -1.6, 1.6), height, "o", ms=4, color=COLOURS.get(method, "0.5"))
    axes.set_yticks(range(len(methods)), methods, fontsize=6)
    axes.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.axvline(1, color="0.6", linewidth=0.8, zorder=0)
    axes.set(xlim=(-1.7, 1.7), xlabel="share of the teacher at the end")
    axes.set_title(f"{title}, {found['worlds']} worlds", fontsize=9)


def grid_worlds() -> Any:
    """A panel an experiment."""
    from matplotlib.figure import Figure

    experiments = read_json(RESULTS / "grid_worlds.json")["experiments"]
    panels: list[Callable[[Any], None]] = [
        lambda axes: drawn_curves(axes, experiments["thousand"], "The six methods"),
        lambda axes: drawn_control(axes, experiments["control"]),
        lambda axes: drawn_actions(axes, experiments),
    ]
    for name, title in FINAL.items():
        if name in experiments:
            panels.append(lambda axes, n=name, t=title: drawn_last(axes, experiments[n], t))  # type: ignore[misc]
    lines = -(-len(panels) // 2)
    figure = Figure(figsize=(11, 3.3 * lines), layout="constrained")
    for number, panel in enumerate(panels):
        panel(figure.add_subplot(lines, 2, number + 1))
    return figure


def two_colours() -> Any:
    """Parameters on their ways, on-policy distillation and N-distill."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, name in enumerate(PATHS):
        path = path_of(name)
        axes.plot(path[:, 0], path[:, 1], color=f"C{number}", linewidth=1, label=name)
    axes.plot(*START, "ko", ms=4)
    axes.set(xlabel="a", ylabel="b", xlim=(-3, 4), ylim=(-4, 4))
    axes.legend(fontsize=8)
    return figure


def gaussian_students() -> Any:
    """Share of the teacher's return, each method and task."""
    from matplotlib.figure import Figure

    results = read_json(RESULTS / "gaussian_students.json")
    figure = Figure(figsize=(5.2 * len(results), 3.4), layout="constrained")
    for number, (task, rows) in enumerate(results.items()):
        axes = figure.add_subplot(1, len(results), number + 1)
        methods = list(rows)[::-1]
        for height, method in enumerate(methods):
            row = rows[method]
            axes.plot([row["low"], row["high"]], [height] * 2, color="C0")
            axes.plot(row["seeds"], [height] * len(row["seeds"]), "k|", ms=6)
            axes.plot(row["share"], height, "o", ms=4, color="C0")
        axes.set_yticks(range(len(methods)), methods, fontsize=7)
        axes.axvline(1, color="0.6", linewidth=0.8, zorder=0)
        axes.set(xlabel="share of the teacher's return", xlim=(-0.4, 1.4))
        axes.set_title(task, fontsize=9)
    return figure


def main() -> None:
    """Write all three; text stays text, which keeps the files small."""
    import matplotlib

    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "sparsectl"
    for name, figure in (
        ("grid_worlds", grid_worlds),
        ("two_colours", two_colours),
        ("gaussian_students", gaussian_students),
    ):
        figure().savefig(DOCS / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
