"""The picture of a campaign hides no score."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsectl.hil.campaign import picture
from sparsectl.hil.campaign.journalled import Outcome


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_legend_covers_no_trial(score: float) -> None:
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    outcomes = {
        label: [Outcome(label, seed, score, False, None, "stopped") for seed in range(5)]
        for label in "AB"
    }
    names = {"A": "policy", "B": "runs/a-rather-long-name-of-a-folder/policy"}
    scores, difference = figure.subplots(1, 2, width_ratios=(1.3, 1))
    picture._draw_scores(outcomes, names, scores)
    picture._draw_comparison(outcomes, 0.02, 100, difference)
    figure.canvas.draw()
    legend = scores.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= scores.get_window_extent().y1
    assert legend.get_window_extent().x1 <= difference.get_window_extent().x0
    for axes in (scores, difference):
        assert all(tick == round(tick) for tick in ticks(axes)), "half a trial"


def ticks(axes: Axes) -> list[float]:
    return [float(tick) for tick in axes.get_xticks()]
