"""Plots of a trial: motion over time, phase portrait, timing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsectl.hil.analysis.balance import find_capture
from sparsectl.hil.analysis.results import active_part, periods_us, round_trips
from sparsectl.hil.analysis.trial_result import TrialResult
from sparsectl.hil.journal.journal import Journal
from sparsectl.hil.journal.trace import BALANCED_RAD, Trace
from sparsectl.hil.report.figures import (
    BAD,
    FIRST,
    GOOD,
    MUTED,
    SECOND,
    WARN,
    Mark,
    Plot,
    draw_plot,
    line,
    side_by_side,
    timing_plot,
    unwrapped_gaps,
)
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.protocol.wire import State

ZOOM_DEGREES = 18.0
FULL_TURN = (-180, -90, 0, 90, 180)
UNITS = {"m": (1000.0, "mm"), "rad": (57.29578, "°")}
"""Factor and unit in which a base's position is shown."""


def motion_plot(trace: Trace, result: TrialResult, rig: RigConstants, unit: str) -> Plot:
    """Plot angle, angle near upright, position and duty over time, with state bands and kicks."""
    time_s, start_us = _time_s(trace)
    kicks = [kick.time_s for kick in result.disturbances]
    up_s = result.swing_up_seconds

    def draw(figure: Figure, narrow: bool) -> None:
        panels = figure.subplots(4, sharex=True, height_ratios=(3, 2.2, 2.2, 1.8))
        angle, zoom, position, duty = panels
        degrees = unwrapped_gaps(trace.pole_angle_rad)
        line(angle, time_s, degrees, FIRST)
        angle.set_yticks(FULL_TURN)
        angle.set_title("Pole angle (°, 0 is upright)")
        line(zoom, time_s, degrees, FIRST)
        zoom.set_ylim(-ZOOM_DEGREES, ZOOM_DEGREES)
        zoom.set_title("Pole angle near upright (°)")
        for edge in (-BALANCED_RAD, BALANCED_RAD):
            zoom.axhline(np.degrees(edge), color=GOOD, linewidth=1.0, linestyle=(0, (4, 3)))
        _position(position, time_s, trace, rig.base_limit, unit)
        line(duty, time_s, trace.duty, SECOND, 0.9, drawstyle="steps-post")
        duty.set_ylim(-1.08, 1.08)
        duty.set_title("Motor duty")
        if rig.duties:
            duty.set_yticks(sorted(rig.duties))
        duty.set_xlabel("time since the policy took over (s)")
        for axes in panels:
            _bands(axes, trace, time_s, up_s)
            _kick_lines(axes, kicks)
            axes.margins(x=0.01)

    description = (
        f"Pole angle, base position and motor duty over {time_s[-1] - time_s[0]:.0f} seconds; "
        f"device ticks counted from {start_us} us"
    )
    return draw_plot("motion", description, (7.6, 7.4), draw)


def _position(
    axes: Axes, time_s: NDArray[np.float64], trace: Trace, limit: float, unit: str
) -> None:
    factor, shown = UNITS[unit]
    line(axes, time_s, trace.base_position * factor, FIRST)
    for edge in (-limit, limit):
        axes.axhline(edge * factor, color=BAD, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.set_title(f"Base position ({shown})")


def _bands(axes: Axes, trace: Trace, time_s: NDArray[np.float64], up_s: float | None) -> None:
    """Shade what the board or the pole was doing."""
    active = trace.state == State.ACTIVE
    if not active.any():
        return
    begin, end = float(time_s[active][0]), float(time_s[active][-1])
    up = end if up_s is None else begin + up_s
    for left, right, colour, strength in (
        (float(time_s[0]), begin, MUTED, 0.10),
        (begin, up, WARN, 0.14),
        (up, end, GOOD, 0.12),
        (end, float(time_s[-1]), MUTED, 0.10),
    ):
        if right > left:
            axes.axvspan(left, right, color=colour, alpha=strength, linewidth=0)


def _kick_lines(axes: Axes, kicks: Sequence[float]) -> None:
    for kick_s in kicks:
        axes.axvline(kick_s, color=BAD, linewidth=1.2)


def phase_plot(trace: Trace) -> Plot:
    """Plot the pole's angle against its velocity: the whole path, and the part near upright."""
    active = active_part(trace)
    time_s, _ = _time_s(active)
    capture = find_capture(np.abs(active.pole_angle_rad) < BALANCED_RAD, time_s)
    up = len(active) if capture is None else capture
    degrees = unwrapped_gaps(active.pole_angle_rad)

    def draw(figure: Figure, narrow: bool) -> None:
        whole, near = side_by_side(figure, narrow, (1, 1))
        for axes in (whole, near):
            line(axes, degrees[: up + 1], active.pole_velocity[: up + 1], WARN)
            line(axes, degrees[up:], active.pole_velocity[up:], FIRST, 0.9)
            axes.set_xlabel("pole angle (°)")
            axes.set_ylabel("pole velocity (rad/s)")
        whole.set_xticks(FULL_TURN)
        whole.set_title("Whole path")
        near.set_title("Near upright")
        near.set_xlim(-ZOOM_DEGREES, ZOOM_DEGREES)
        near.set_ylim(*_near_limits(active.pole_velocity[up:]))

    return draw_plot("phase", "Phase portrait: pole angle against its velocity", (3.9, 7.2), draw)


def _near_limits(velocity: NDArray[np.float64]) -> tuple[float, float]:
    reach = float(np.max(np.abs(velocity), initial=1.0)) * 1.1
    return -reach, reach


def period_plot(journal: Journal, trace: Trace, result: TrialResult) -> Plot | None:
    """Plot the deviation of the loop's period from nominal, beside the machine's own noise
    floor."""
    active, period_us = active_part(trace), journal.header.rig_constants.period_us
    periods = periods_us(journal, active)
    if periods.size < 2:
        return None
    times = np.linspace(0.0, _time_s(active)[0][-1], periods.size)
    floor = result.noise_floor_us
    marks = [Mark(floor["p99"], "noise floor p99")] if floor else []
    return timing_plot("period", "period − nominal", times, periods - period_us, marks)


def round_trip_plot(journal: Journal) -> Plot | None:
    """Plot the time from host to board and back, over the trial."""
    found = round_trips(journal)
    if len(found) < 2:
        return None
    times = (np.array([sent_ns for sent_ns, _ in found]) - found[0][0]) * 1e-9
    trips = [took_us for _, took_us in found]
    return timing_plot("round-trip", "round trip", times, trips, colour=SECOND)


def inference_plot(trace: Trace) -> Plot | None:
    """Plot the policy's own time on the board, tick by tick."""
    active = active_part(trace)
    if len(active) < 2:
        return None
    return timing_plot(
        "inference", "inference", _time_s(active)[0], active.inference_ns / 1000, colour=GOOD
    )


def _time_s(trace: Trace) -> tuple[NDArray[np.float64], int]:
    """Return the seconds from the first active tick (the first of all if none is active), and that
    tick's time."""
    active = np.flatnonzero(trace.state == State.ACTIVE)
    start_us = int(trace.time_us[active[0] if active.size else 0])
    return np.asarray((trace.time_us - start_us) * 1e-6, dtype=np.float64), start_us
