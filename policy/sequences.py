"""Run a policy with a state over many ticks: from the function of one tick to the actions of a
sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsectl.common.errors import UserError

Tick = Callable[[NDArray[Any]], NDArray[Any]]
"""One tick of independent rows: [count, observation and state] to [count, action and state]."""


@dataclass(frozen=True)
class Run:
    """The results of a sequence; the dtype is that of the tick's results."""

    actions: NDArray[Any]
    """[ticks, action_size]"""
    states: NDArray[Any]
    """[ticks, state_size]: the state at the beginning of each tick."""


def run_sequence(
    tick: Tick, reset_state: NDArray[Any], observations: NDArray[Any], resets: ArrayLike | None
) -> Run:
    """Run `tick` on one observation after another, passing the state on.

    A stretch between two resets depends on no other, so all stretches run side by side.

    Args:
        tick: one tick.
        reset_state: [state_size], the state after a reset.
        observations: [ticks, observation_size].
        resets: [ticks], whether the state is reset before that tick; the first always is. None:
            there is no other reset.

    Raises:
        UserError: resets of another number than the observations.
    """
    starts = reset_ticks(len(observations), resets)
    lengths = np.diff([*starts, len(observations)])
    order = np.argsort(-lengths, kind="stable")  # the longest first: those still running lead
    starts, lengths = starts[order], lengths[order]
    state = np.repeat(reset_state[None], len(starts), axis=0)
    actions: NDArray[Any] | None = None
    states = np.empty((len(observations), len(reset_state)), reset_state.dtype)
    for place in range(int(lengths.max(initial=0))):
        running = int(np.count_nonzero(lengths > place))
        rows = starts[:running] + place
        states[rows] = state[:running]
        made = tick(np.concatenate([observations[rows], state[:running]], axis=1))
        action, state = np.split(made, [made.shape[1] - len(reset_state)], axis=1)
        if actions is None:
            actions = np.empty((len(observations), action.shape[1]), made.dtype)
        actions[rows] = action
    if actions is None:
        raise UserError("a sequence of 0 ticks; give at least one observation")
    return Run(actions, states)


def reset_ticks(ticks: int, resets: ArrayLike | None) -> NDArray[np.intp]:
    """Return the ticks before which the state is reset, ascending; the first tick is always one of
    them.

    Raises:
        UserError: the number of resets is not that of the ticks.
    """
    flags = np.zeros(ticks, bool) if resets is None else np.array(resets, bool)
    if flags.shape != (ticks,):
        raise UserError(
            f"resets of shape {list(flags.shape)} for {ticks} observations; give one a tick"
        )
    flags[:1] = True
    return np.flatnonzero(flags)
