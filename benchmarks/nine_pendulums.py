"""Draw docs/nine_pendulums.png: one policy on nine pendulums.

    python benchmarks/trials.py --policy any-cartpole --rigs 9
    python benchmarks/nine_pendulums.py [--runs runs/trials]

The first nine of the drawn rigs, whatever became of them; each trial is of the C firmware. What is
drawn is kept in results/nine_pendulums.json, from which `--redraw` draws it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from trials import FIRST_RIG

from sparsectl.common.files import atomic_path, read_json, write_json
from sparsectl.common.provenance import provenance
from sparsectl.hil.analysis.results import assess
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import BALANCED_RAD, read_trace
from sparsectl.plants.drawing import draw_rig, figures_of
from sparsectl.protocol.enums import State

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "results" / "nine_pendulums.json"
PICTURE = ROOT / "docs" / "nine_pendulums.png"

SECONDS = 12.0
MOST_POINTS = 300
"""Of a line, which is some 300 pixels wide."""
INK, LINE, MUTED, BAND = "#1d2733", "#2b6cb0", "#5b6775", "#dcefe0"


@dataclass(frozen=True)
class NineConfig:
    """Where the trials are."""

    runs: Path = ROOT / "runs" / "trials"
    """Folder of the journals that `trials.py --rigs` wrote."""
    redraw: bool = False
    """Read no journals; draw what is kept."""


def panel(runs: Path, number: int) -> dict[str, Any]:
    """How far the pole of one trial is from upright, 0 to 180 degrees to either side, and what its
    rig is."""
    journal = read_journal(runs / f"cartpole-{number}" / "journal.bin")
    trace, result = read_trace(journal), assess(journal)
    driven = trace.state == State.ACTIVE
    time_s = (trace.time_us[driven] - trace.time_us[driven][0]) * 1e-6
    shown = time_s <= SECONDS
    every = -(-int(shown.sum()) // MOST_POINTS)
    angle = np.degrees(np.abs(trace.pole_angle_rad[driven][shown]))
    rig = draw_rig("cartpole", number)
    whole_kg = rig.pole.mass_kg + rig.pole.tip_mass_kg
    return {
        "rig": number,
        "length_m": rig.pole.length_m,
        "pole_share": whole_kg / (rig.base.mass_kg + rig.base.rotor_inertia),
        "push_m_s2": figures_of(rig).push,
        "travel_m": rig.base.limit,
        "period_ms": rig.period_s * 1e3,
        "swing_up_s": result.swing_up_seconds,
        "time_s": np.round(time_s[shown][::every], 3).tolist(),
        "angle_deg": np.round(angle[::every], 1).tolist(),
    }


def draw(panels: list[dict[str, Any]], path: Path) -> None:
    """Three by three, on axes of the same scale."""
    figure = Figure(figsize=(10, 6.6), layout="constrained", facecolor="white")
    grid = figure.subplots(3, 3, sharex=True, sharey=True)
    for axes, one in zip(grid.flat, panels, strict=True):
        _draw_panel(axes, one)
    for axes in grid[:, 0]:
        axes.set_ylabel("pole", color=MUTED, fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("seconds since the motor was armed", color=MUTED, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=140)


def _draw_panel(axes: Axes, one: dict[str, Any]) -> None:
    axes.axhspan(-10.0, np.degrees(BALANCED_RAD), color=BAND, linewidth=0)
    axes.plot(one["time_s"], one["angle_deg"], color=LINE, linewidth=1.4)
    axes.set(xlim=(0, SECONDS), ylim=(185, -10), yticks=[180, 90, 0])
    axes.set_yticklabels(["hanging", "90°", "upright"])
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.grid(color="#e3e7ec", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b8c0ca")
    up = one["swing_up_s"]
    said = "not up to stay" if up is None else f"up after {up:.1f} s"
    axes.set_title(
        f"{one['length_m'] * 100:.0f} cm, {one['pole_share']:.2f} of the cart's mass", loc="left",
        fontsize=9.5, fontweight="bold", color=INK, pad=16,
    )  # fmt: skip
    motor, travel = f"{one['push_m_s2']:.0f} m/s²", f"±{one['travel_m'] * 100:.0f} cm"
    axes.text(
        0, 1.03, f"{motor}, {travel}, {one['period_ms']:g} ms; {said}",
        transform=axes.transAxes, fontsize=8.5, color=MUTED,
    )  # fmt: skip


def main(config: NineConfig) -> None:
    """Read the trials, keep what is drawn, draw."""
    if not config.redraw:
        panels = [panel(config.runs, FIRST_RIG + number) for number in range(9)]
        trials = sorted({row["revision"] for row in _rows(config.runs)})
        write_json(OUT, {"panels": panels, "trials_of": trials, "provenance": provenance()})
    draw(read_json(OUT)["panels"], PICTURE)


def _rows(runs: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_json(runs / "cartpole_rows.json")["rows"]
    return [row for row in rows if row["rig"] < FIRST_RIG + 9]


if __name__ == "__main__":
    main(tyro.cli(NineConfig, description=__doc__.splitlines()[0]))
