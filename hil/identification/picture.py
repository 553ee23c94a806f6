"""Draw the result of a fit: each parameter with its interval, and the residuals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsectl.common.files import atomic_path
from sparsectl.hil.identification.fit import Fit
from sparsectl.hil.identification.unknowns import UNKNOWNS, key, scales, start
from sparsectl.hil.identification.windows import Simulator, Window

BLUE, ORANGE, GREY = "#2b6cb0", "#d2651a", "#8794a3"


def draw(fit: Fit, windows: Sequence[Window], path: Path) -> None:
    """Write a PNG: the parameters on the left, the window with the most motion on the right."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    numbers, counts = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_numbers(fit, numbers)
    _draw_window(fit, windows, counts)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_numbers(fit: Fit, axes: Axes) -> None:
    """Draw each interval relative to the rig file's value, or to the unknown's scale if it has
    none."""
    rig = fit.guess.base
    rows = range(len(UNKNOWNS))
    reference = np.array(start(rig).values)
    width = np.array(
        [
            abs(value) if u.section and value else scale
            for u, value, scale in zip(UNKNOWNS, reference, scales(rig), strict=True)
        ]
    )
    names = []
    for row, unknown in enumerate(UNKNOWNS):
        value, low, high = fit.guess.values[row], fit.low[row], fit.high[row]
        at, left, right = (100 * (x - reference[row]) / width[row] for x in (value, low, high))
        axes.plot([left, right], [row, row], color=BLUE, linewidth=4, alpha=0.4)
        axes.plot(at, row, "o", color=BLUE, markersize=5)
        names.append(f"{key(unknown)}\n{value:.4g} [{low:.4g}, {high:.4g}]")
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(list(rows), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("change from the rig file, %")
    axes.set_title(f"found, 95 % intervals (start: {rig.name})", fontsize=10, loc="left")


def _draw_window(fit: Fit, windows: Sequence[Window], axes: Axes) -> None:
    window = max(windows, key=lambda w: float(np.ptp(w.duty)) + float(np.ptp(w.counts[:, 1])) / 1e4)
    state = np.array([*window.counts[0], *window.velocity])
    time_ms = (window.time_s - window.time_s[0]) * 1e3
    simulated = Simulator(fit.guess).counts(window, state)
    for column, (name, colour) in enumerate((("base", BLUE), ("pole", ORANGE))):
        measured = window.counts[:, column] - window.counts[0, column]
        drawn = simulated[:, column] - simulated[0, column]
        axes.plot(time_ms, measured, "o", color=colour, markersize=4, label=f"{name}, measured")
        axes.plot(time_ms, drawn, color=colour, linewidth=1.2, label=f"{name}, simulated")
    base, pole = fit.residual_counts
    axes.set_xlabel("time, ms")
    axes.set_ylabel("counts from the first")
    axes.set_title(
        f"residual, rms: base {base:.2f}, pole {pole:.2f} counts (quantisation alone 0.29)",
        fontsize=10,
        loc="left",
    )
    axes.legend(fontsize=8, frameon=False)
