"""Draw a campaign: every trial's score, and how the result developed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sparsectl.common.files import atomic_path
from sparsectl.hil.campaign.comparison import compare
from sparsectl.hil.campaign.journalled import Outcome
from sparsectl.hil.campaign.score import interim_analyses

COLOURS = {"A": "#2b6cb0", "B": "#d2651a"}
GREY = "#8794a3"


def draw(
    by_label: dict[str, Sequence[Outcome]],
    names: dict[str, str],
    margin: float,
    most_pairs: int,
    path: Path,
) -> None:
    """Write a PNG."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    if len(by_label) == 1:
        _draw_scores(by_label, names, figure.subplots())
    else:
        scores, difference = figure.subplots(1, 2, width_ratios=(1.3, 1))
        _draw_scores(by_label, names, scores)
        _draw_comparison(by_label, margin, most_pairs, difference)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_scores(by_label: dict[str, Sequence[Outcome]], names: dict[str, str], axes: Axes) -> None:
    for shift, (label, outcomes) in zip((-0.15, 0.15), by_label.items(), strict=False):
        seeds = np.array([outcome.seed for outcome in outcomes])
        scores = [outcome.score for outcome in outcomes]
        axes.plot(
            seeds + shift, scores, "o", markersize=4, color=COLOURS[label],
            label=f"{label}: {names[label]}",
        )  # fmt: skip
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("seed")
    axes.set_ylabel("upright from the capture, share")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(  # above: scores may be anywhere between 0 and 1
        frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0
    )


def _draw_comparison(
    by_label: dict[str, Sequence[Outcome]], margin: float, most_pairs: int, axes: Axes
) -> None:
    a, b = (sorted(by_label[label], key=lambda o: o.seed) for label in "AB")
    most = min(len(a), len(b))
    counts = sorted({2, *(count for count in interim_analyses(most_pairs) if count < most), most})
    found = [compare(a[:count], b[:count], margin, most_pairs) for count in counts if count >= 2]
    shown = [one for one in found if one is not None]
    pairs = [one.pairs for one in shown]
    axes.fill_between(
        pairs,
        [one.difference.low for one in shown],
        [one.difference.high for one in shown],
        color=GREY,
        alpha=0.35,
        linewidth=0,
    )
    axes.plot(pairs, [one.difference.value for one in shown], color="#1d2733", marker="o", ms=3)
    axes.axhspan(-margin, margin, color=GREY, alpha=0.15)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("pairs of trials")
    axes.set_title("score of A minus B, 95 % in all analyses together", fontsize=9, loc="left")
