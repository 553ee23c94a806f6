"""Run a policy in several episodes side by side; a policy with a state has one state per
episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array, GraphNetwork


class RecurrentNetwork(GraphNetwork):
    """A recurrent policy's network; its actions are asked for through `States` alone."""

    def __call__(self, observations: Array) -> Array:
        raise UserError(
            f"the policy keeps a state of {self.graph.state_size} values, and this takes policies "
            "whose action depends on the observation alone; give one of these, or stack frames"
        )


Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Observations [episodes, n] to actions [episodes, m], in the environment's units."""


@dataclass(frozen=True)
class Recurrent:
    """A policy that keeps a state: its tick, and the state that it starts with."""

    tick: Callable[[Array], Array]
    """[count, observation and state] to [count, action and next state]."""
    start: Array
    """[state_size], the state that an episode begins with."""


class States:
    """The states of several episodes, from their first ticks on."""

    def __init__(self, recurrent: Recurrent, episodes: int) -> None:
        self._tick = recurrent.tick
        self._states = np.repeat(recurrent.start[None], episodes, axis=0)

    def act(self, observations: Array, live: NDArray[np.int64]) -> Array:
        """Return actions [live, m] of the episodes `live`, whose observations are these, [live, n],
        and advance their states."""
        given = np.concatenate([observations, self._states[live]], axis=1)
        size = self._states.shape[1]
        made = self._tick(np.asarray(given, np.float32))
        actions, self._states[live] = made[:, :-size], made[:, -size:]
        return actions


def alone(act: Act | Recurrent) -> Act:
    """Return a function that acts in one episode that begins now."""
    if not isinstance(act, Recurrent):
        return act
    states, first = States(act, 1), np.zeros(1, np.int64)
    return lambda observations: states.act(observations, first)
