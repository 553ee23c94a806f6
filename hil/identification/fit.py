"""Least squares over windows: unknowns that all windows share, and each window's start state.

Multiple shooting (Bock 1981) by Levenberg-Marquardt; the start states are eliminated window by
window (Schur complement). Intervals come from leaving out one window at a time (the jackknife, CR3
of MacKinnon and White 1985, to first order), which is also valid if residuals are not independent
or the model is incomplete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when they are first used; stats takes a second
from numpy.typing import NDArray

from sparsectl.common.levenberg_marquardt import Damping
from sparsectl.hil.identification.unknowns import UNKNOWNS, Guess, scales
from sparsectl.hil.identification.windows import Simulator, Window, first_states

Float = NDArray[np.float64]
NewtonStep = Callable[[Float, Float, Float, Float], Float]
"""From hessian, gradient and the least and greatest step of each unknown."""

MOST_ITERATIONS = 40
CONVERGED = 1e-2
"""Iteration ends when no unknown moves by more than this part of its standard error."""
LEAST_GAIN = 1e-3
"""… and the sum of squares falls by less than this part."""
STEP = 1e-3
"""Step of the finite differences, in units of the unknowns' scales."""
STATE_STEPS = np.array([0.05, 0.05, 2.0, 2.0])
"""Step of the finite differences of a start state, in counts and counts per second."""
CONFIDENCE = 0.95

POOR_FIT_COUNTS = 3.0
"""With larger residuals, the model does not describe the rig, or the fit ended beside it."""

FIRST_DAMPING = 1e-2
DAMPING = Damping(down=0.1, up=10.0, least=1e-9, most=1e9, tries=20)


@dataclass(frozen=True)
class Fit:
    """The result of a fit."""

    guess: Guess
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Ends of the 95 % intervals, in the order of `UNKNOWNS`."""
    residual_counts: tuple[float, float]
    """Root mean square residual of base and pole, in counts; quantisation alone leaves 0.29."""
    windows: int
    iterations: int
    converged: bool


@dataclass(frozen=True)
class _Normal:
    """The reduced normal equations at one point."""

    hessian: Float
    gradient: Float
    of_window: list[tuple[Float, Float]]
    """Each window's share of the hessian and of the gradient, its start eliminated."""
    back: list[tuple[Float, Float, Float]]
    """Each window's A, B and A's right side, to step its start."""


def fit(
    windows: Sequence[Window],
    guess: Guess,
    progress: Callable[[int, float], None] = lambda iteration, rms: None,
) -> Fit:
    """Fit from `guess` on; `progress` gets the iteration and the residuals' rms in counts.

    A poor fit is tried again with steps that go on along the bounds of the unknowns, and the closer
    one is returned: from a start that is far off neither way is always the better one.
    """
    found = _fit(windows, guess, progress, _clipped_step)
    if max(found.residual_counts) <= POOR_FIT_COUNTS:
        return found
    other = _fit(windows, guess, progress, _bounded_step)
    return min(found, other, key=lambda each: max(each.residual_counts))


def _fit(
    windows: Sequence[Window],
    guess: Guess,
    progress: Callable[[int, float], None],
    newton_step: NewtonStep,
) -> Fit:
    scale = np.array(scales(guess.base))
    values, states = np.array(guess.values), first_states(windows)
    damping, converged, iteration = FIRST_DAMPING, False, 0
    residuals = _residuals(windows, _guess(guess, values), states)
    for iteration in range(1, MOST_ITERATIONS + 1):
        normal = _normal(windows, guess, values, states, scale, residuals)
        before = float(np.sum(np.square(residuals)))
        values, states, residuals, damping, step = _damped_step(
            windows, guess, values, states, scale, residuals, normal, damping, newton_step
        )
        progress(iteration, float(np.sqrt(np.mean(np.square(residuals)))))
        gain = 1 - float(np.sum(np.square(residuals))) / before
        if gain < LEAST_GAIN and np.all(np.abs(step) < CONVERGED * _errors(normal)):
            converged = True
            break
    normal = _normal(windows, guess, values, states, scale, residuals)
    reach = _errors(normal) * scale * scipy.stats.t.ppf(0.5 + CONFIDENCE / 2, len(windows) - 1)
    low = [
        value - r if u.lowest is None else max(u.lowest, value - r)
        for u, value, r in zip(UNKNOWNS, values, reach, strict=True)
    ]
    base, pole = np.sqrt(np.mean(np.square(residuals), axis=(0, 1)))
    return Fit(
        _guess(guess, values),
        tuple(map(float, low)),
        tuple(map(float, values + reach)),
        (float(base), float(pole)),
        len(windows),
        iteration,
        converged,
    )


def _guess(guess: Guess, values: Float) -> Guess:
    return Guess(guess.base, tuple(map(float, values)))


def _residuals(windows: Sequence[Window], guess: Guess, states: Float) -> Float:
    """Return the residuals, [windows, ticks, 2], in counts."""
    simulator = Simulator(guess)
    return np.array(
        [
            simulator.counts(window, state) - window.counts
            for window, state in zip(windows, states, strict=True)
        ]
    )


def _normal(
    windows: Sequence[Window],
    guess: Guess,
    values: Float,
    states: Float,
    scale: Float,
    residuals: Float,
) -> _Normal:
    count = len(windows)
    by_value = np.empty((count, residuals[0].size, len(values)))
    for index, width in enumerate(scale):
        moved = values.copy()
        moved[index] += STEP * width
        change = _residuals(windows, _guess(guess, moved), states) - residuals
        by_value[:, :, index] = change.reshape(count, -1) / STEP
    by_state = np.empty((count, residuals[0].size, 4))
    for index, width in enumerate(STATE_STEPS):
        moved_states = states.copy()
        moved_states[:, index] += width
        change = _residuals(windows, _guess(guess, values), moved_states) - residuals
        by_state[:, :, index] = change.reshape(count, -1) / width
    return _reduce(by_value, by_state, residuals.reshape(count, -1))


def _reduce(by_value: Float, by_state: Float, residuals: Float) -> _Normal:
    shares, back = [], []
    for jacobian, own, residual in zip(by_value, by_state, residuals, strict=True):
        a, b, c = own.T @ own, own.T @ jacobian, own.T @ residual
        solved = np.linalg.solve(a + 1e-9 * np.trace(a) * np.eye(4), np.column_stack([b, c]))
        hessian = jacobian.T @ jacobian - b.T @ solved[:, :-1]
        shares.append((hessian, jacobian.T @ residual - b.T @ solved[:, -1]))
        back.append((a, b, c))
    hessians, gradients = zip(*shares, strict=True)
    return _Normal(np.sum(hessians, axis=0), np.sum(gradients, axis=0), shares, back)


def _damped_step(
    windows: Sequence[Window],
    guess: Guess,
    values: Float,
    states: Float,
    scale: Float,
    residuals: Float,
    normal: _Normal,
    damping: float,
    newton_step: NewtonStep,
) -> tuple[Float, Float, Float, float, Float]:
    """Return one accepted step, with the damping raised until a step lowers the sum of squares."""
    cost = float(np.sum(np.square(residuals)))
    lowest = np.array([-np.inf if u.lowest is None else u.lowest for u in UNKNOWNS])
    most = np.full_like(lowest, np.inf)
    most[0] = (1.0 - values[0]) / scale[0]  # a delay of over a period is another tick's duty

    def attempt(damping: float) -> tuple[Float, Float, Float, Float] | None:
        damped = normal.hessian + damping * np.diag(np.diag(normal.hessian) + 1e-12)
        step = newton_step(damped, normal.gradient, (lowest - values) / scale, most)
        moved = values + scale * step
        moved_states = states + _state_steps(normal, step, damping)
        try:
            new = _residuals(windows, _guess(guess, moved), moved_states)
        except ValueError:  # a mass or a length below zero
            new = np.full_like(residuals, np.inf)
        is_lower = float(np.sum(np.square(new))) <= cost
        return (moved, moved_states, new, step) if is_lower else None

    found, damping = DAMPING.step(damping, attempt)
    if found is None:
        return values, states, residuals, FIRST_DAMPING, np.zeros_like(values)
    moved, moved_states, new, step = found
    return moved, moved_states, new, damping, step


def _clipped_step(hessian: Float, gradient: Float, least: Float, most: Float) -> Float:
    """Return the Newton step, cut off at these bounds."""
    return np.asarray(np.clip(-np.linalg.solve(hessian, gradient), least, most), dtype=np.float64)


def _bounded_step(hessian: Float, gradient: Float, least: Float, most: Float) -> Float:
    """Return the Newton step within these bounds: what would leave them goes to its bound, and the
    rest is solved again beside it, as it has to make up for that."""
    step = np.asarray(-np.linalg.solve(hessian, gradient), dtype=np.float64)
    bound = np.zeros(step.size, dtype=bool)
    while np.any(beyond := ~bound & ((step < least) | (step > most))):
        bound |= beyond
        free = ~bound
        step[bound] = np.clip(step, least, most)[bound]
        there = gradient[free] + hessian[np.ix_(free, bound)] @ step[bound]
        step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], there)
    return step


def _state_steps(normal: _Normal, step: Float, damping: float) -> Float:
    """Return each start state's step; damped too, since a fast rotating pole is far from linear in
    its start state."""
    return np.array(
        [
            -np.linalg.solve(a + (damping + 1e-9) * np.diag(np.diag(a)), c + b @ step)
            for a, b, c in normal.back
        ]
    )


def _errors(normal: _Normal) -> Float:
    """Return standard errors in units of the scales, by leaving out one window at a time."""
    count = len(normal.of_window)
    moves = [
        np.linalg.pinv(normal.hessian - hessian) @ gradient
        for hessian, gradient in normal.of_window
    ]
    spread = np.array(moves) - np.mean(moves, axis=0)
    return np.asarray(np.sqrt((count - 1) / count * np.sum(spread**2, axis=0)))
