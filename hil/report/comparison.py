"""Compare two trials: their figures side by side, their motion in one plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sparsectl.common.errors import UserError
from sparsectl.hil.analysis.balance import find_capture
from sparsectl.hil.analysis.results import active_part
from sparsectl.hil.analysis.trial_result import Disturbance, TrialResult
from sparsectl.hil.journal.trace import BALANCED_RAD, Trace, read_trace
from sparsectl.hil.report.figures import FIRST, GOOD, SECOND, Plot, draw_plot, line, unwrapped_gaps
from sparsectl.hil.report.run_folder import RunFolder
from sparsectl.hil.report.trial_plots import UNITS, ZOOM_DEGREES
from sparsectl.hil.timing.percentiles import Percentiles


@dataclass(frozen=True)
class TrialComparison:
    """The comparison of two trials in the report."""

    names: tuple[str, str]
    rows: list[tuple[str, str, str]]
    """Rows of name, value of the first and value of the second trial."""
    plot: Plot


def compare(first: RunFolder, second: RunFolder) -> TrialComparison:
    """Align two trials at the capture, the moment from which the pole stayed up.

    Raises:
        UserError: one folder has no trial, or their bases have different units.
    """
    trials = []
    for run in (first, second):
        if run.journal is None or run.trial is None:
            raise UserError(f"{run.folder} holds no trial; name two trials' folders")
        trials.append(run.trial)
    units = [_unit(run) for run in (first, second)]
    if units[0] != units[1]:
        raise UserError(
            f"{first.folder} is of a rig in {units[0]}, {second.folder} of one in {units[1]}; "
            "compare trials of rigs of one kind"
        )
    names = _names(first, second)
    rows = [(label, form(trials[0]), form(trials[1])) for label, form in _ROWS.items()]
    return TrialComparison(names, rows, _plot(first, second, names, units[0]))


def _unit(run: RunFolder) -> str:
    assert run.journal is not None
    return run.journal.header.base_unit


def _names(first: RunFolder, second: RunFolder) -> tuple[str, str]:
    """Return the folders' names, or whole paths if these are equal."""
    one, other = first.folder.resolve(), second.folder.resolve()
    return (one.name, other.name) if one.name != other.name else (str(one), str(other))


def _value(value: float | None, unit: str, factor: float = 1.0) -> str:
    return "–" if value is None else f"{factor * value:.3g} {unit}".strip()


def _percentile(values: Percentiles | None, name: str, digits: int = 3) -> str:
    return "–" if values is None else f"{values[name]:.{digits}g} µs"


def _of_kicks(values: list[float | None], unit: str, factor: float = 1.0) -> str:
    shown = ["never" if value is None else f"{factor * value:.3g}" for value in values]
    return f"{', '.join(shown)} {unit}" if shown else "–"


def settling_times(kicks: Sequence[Disturbance]) -> str:
    """Return how long after each kick the pole was near upright for good; 0 s means that it never
    left."""
    words = []
    for kick in kicks:
        if kick.settling_s is None:
            words.append("never")
        else:
            words.append(f"{kick.settling_s:.3g} s" if kick.settling_s else "stayed within")
    return ", ".join(words) or "–"


def _end_to_end(trial: TrialResult) -> str:
    chain = trial.latency_us
    return _percentile(chain["end_to_end"] if chain else None, "p50", 4)


_ROWS: dict[str, Callable[[TrialResult], str]] = {
    "Policy": lambda trial: trial.digest[:12],
    "Ended": lambda trial: trial.ended,
    "Swing-up": lambda trial: _value(trial.swing_up_seconds, "s"),
    "Longest within ±11.5°": lambda trial: _value(trial.balanced_seconds, "s"),
    "RMS angle from the capture": lambda trial: _value(trial.rms_angle_rad, "°", 57.29578),
    "RMS duty from the capture": lambda trial: _value(trial.rms_duty, ""),
    "Peak after each kick": lambda trial: _of_kicks(
        [kick.peak_rad for kick in trial.disturbances], "°", 57.29578
    ),
    "Within ±2.9° for good after each kick": lambda trial: settling_times(trial.disturbances),
    "Kicks missed": lambda trial: str(trial.kicks_missed),
    "Jitter p99": lambda trial: _percentile(trial.jitter_us, "p99"),
    "Inference, median": lambda trial: _percentile(trial.inference_us, "p50"),
    "Sample to motor, median": _end_to_end,
}


def _aligned(run: RunFolder) -> tuple[Trace, Any]:
    """Return the active ticks, and their time in s from the capture (from the start, if there is
    none)."""
    assert run.journal is not None
    active = active_part(read_trace(run.journal))
    time_s = np.asarray(active.time_us * 1e-6, dtype=np.float64)
    if not len(active):
        return active, time_s
    capture = find_capture(np.abs(active.pole_angle_rad) < BALANCED_RAD, time_s)
    return active, time_s - time_s[capture or 0]


def _plot(first: RunFolder, second: RunFolder, names: tuple[str, str], unit: str) -> Plot:
    factor, shown = UNITS[unit]
    both = [_aligned(first), _aligned(second)]

    def draw(figure: Figure, narrow: bool) -> None:
        panels = figure.subplots(4, sharex=True, height_ratios=(3, 2.2, 2.2, 1.8))
        angle, zoom, position, duty = panels
        for (active, time_s), colour, name in zip(both, (SECOND, FIRST), names[::-1], strict=True):
            degrees = unwrapped_gaps(active.pole_angle_rad)
            line(angle, time_s, degrees, colour, label=name)
            line(zoom, time_s, degrees, colour, 0.9)
            line(position, time_s, active.base_position * factor, colour)
            line(duty, time_s, active.duty, colour, 0.8, drawstyle="steps-post")
        angle.set_yticks((-180, -90, 0, 90, 180))
        angle.set_title("Pole angle (°, 0 is upright)")
        angle.legend(loc="lower right", ncols=1 if narrow else 2)
        zoom.set_ylim(-ZOOM_DEGREES, ZOOM_DEGREES)
        zoom.set_title("Pole angle near upright (°)")
        for edge in (-BALANCED_RAD, BALANCED_RAD):
            zoom.axhline(np.degrees(edge), color=GOOD, linewidth=1.0, linestyle=(0, (4, 3)))
        position.set_title(f"Base position ({shown})")
        duty.set_ylim(-1.08, 1.08)
        duty.set_title("Motor duty")
        duty.set_xlabel("time since the pole was up (s)")

    both.reverse()  # the first is drawn over the second
    description = f"Pole angle, base position and motor duty of {names[0]} and {names[1]}"
    return draw_plot("compare", description, (7.6, 7.4), draw)
