"""Lines of many points are thinned, and show what the whole line shows."""

from __future__ import annotations

import numpy as np
import pytest

from sparsectl.hil.report.figures import MOST_POINTS, thinned, unwrapped_gaps


@pytest.mark.parametrize("points", [MOST_POINTS, MOST_POINTS + 255, 4 * MOST_POINTS + 1])
@pytest.mark.parametrize("turns", [1.5, 40.0])
def test_no_line_crosses_the_plot_where_the_pole_passes_the_bottom(
    points: int, turns: float
) -> None:
    time_s = np.linspace(0.0, 30.0, points)
    angle = np.angle(np.exp(1j * (3.0 + 2 * np.pi * turns * np.sin(0.3 * time_s))))
    _, degrees = thinned(time_s, unwrapped_gaps(angle))
    steps = np.abs(np.diff(degrees))
    assert np.nanmax(steps) < 180.0 and np.isnan(steps).any()


def test_extremes_beside_a_gap_are_shown() -> None:
    values = np.full(3 * MOST_POINTS, 5.0)
    values[100:104] = [9.0, np.nan, 7.0, 2.0]
    values[-900:] = np.nan
    kept_x, kept = thinned(np.arange(values.size, dtype=np.float64), values)
    assert np.nanmax(kept) == 9.0 and np.nanmin(kept) == 2.0 and np.isnan(kept[-1])
    assert (np.diff(kept_x) > 0).all() and kept.size <= MOST_POINTS + 2
