"""Cut a journal into short windows, each simulated from its own start state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.hil.identification.unknowns import Guess
from sparsectl.hil.journal.trace import Sample
from sparsectl.plants.plant import Plant

TICKS = 25
"""Length of a window: long enough for friction to show, short enough that errors stay bounded."""
LEAST_WINDOWS = 12
STILL_COUNTS = 8
"""A window in which neither encoder moves by more gives no information."""

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """Consecutive ticks. Arrays have one entry per tick; counts are at the middle of their
    quantum."""

    time_s: Float
    counts: Float
    """[ticks, 2]: base, pole."""
    duty: Float
    """The duty that the motor gets from some time after the tick."""
    duty_before: float
    velocity: Float
    """[2]: initial estimate of the velocities at the first tick, in counts per second."""


def cut(samples: Sequence[Sample]) -> list[Window]:
    """Return the windows of `moving` of one journal.

    Raises:
        UserError: there are too few.
    """
    windows = moving(samples)
    if len(windows) < LEAST_WINDOWS:
        raise UserError(
            f"the journal has {len(windows)} stretches of {TICKS} ticks in which the rig moves, "
            f"{LEAST_WINDOWS} are needed; run a longer trial that swings up"
        )
    return windows


def moving(samples: Sequence[Sample]) -> list[Window]:
    """Return windows of `TICKS` consecutive ticks in which something moves."""
    windows = []
    index = 1
    while index + TICKS < len(samples):
        window = _window(samples[index - 1 : index + TICKS + 1])
        if window is None:
            index += 1
            continue
        if np.ptp(window.counts, axis=0).max() > STILL_COUNTS:
            windows.append(window)
        index += TICKS
    return windows


def _window(samples: Sequence[Sample]) -> Window | None:
    """Return a window with one more tick at either end; None if a tick is missing."""
    ticks = np.array([sample.tick for sample in samples])
    if np.any(np.diff(ticks) != 1):
        return None
    time_s = np.array([sample.time_us for sample in samples]) * 1e-6
    counts = np.array([[s.base_count, s.pole_count] for s in samples], dtype=np.float64) + 0.5
    return Window(
        time_s=time_s[1:-1],
        counts=counts[1:-1],
        duty=np.array([sample.duty for sample in samples[1:-1]]),
        duty_before=samples[0].duty,
        velocity=(counts[2] - counts[0]) / (time_s[2] - time_s[0]),
    )


def first_states(windows: Sequence[Window]) -> Float:
    """Return [windows, 4]: base and pole in counts, and their velocities in counts per second."""
    return np.array([[*window.counts[0], *window.velocity] for window in windows])


class Simulator:
    """Simulates windows with a guess's rig; its results are in counts."""

    def __init__(self, guess: Guess) -> None:
        self._plant = Plant(guess.rig())
        rig = self._plant.rig
        self._unit = np.array([rig.base.unit_per_count, rig.pole_rad_per_count])
        self._zero = np.array([0.0, math.pi + guess.rest_angle_bias_rad])
        self._delay_s = guess.delay_s

    def counts(self, window: Window, state: Float) -> Float:
        """Return [ticks, 2]: the counts that the window would have from `state` on, unrounded."""
        plant, data = self._plant, self._plant.data
        mujoco.mj_resetData(plant.model, data)
        data.qpos[:] = state[:2] * self._unit + self._zero
        data.qvel[:] = state[2:] * self._unit
        result = np.empty((len(window.time_s), 2))
        duty = window.duty_before
        spans_s = np.diff(window.time_s, append=window.time_s[-1])
        for tick, (span_s, next_duty) in enumerate(zip(spans_s, window.duty, strict=True)):
            result[tick] = (data.qpos - self._zero) / self._unit
            if span_s == 0.0:
                break
            delay_s = min(self._delay_s, span_s)
            plant.set_duty(duty)
            plant.advance(delay_s)
            duty = next_duty
            plant.set_duty(duty)
            plant.advance(span_s - delay_s)
        return result
