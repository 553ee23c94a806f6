"""The teacher: tabular Q-learning with ε-greedy episodes (Watkins and Dayan 1992)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsectl.training.trajectory.grid_worlds import MOVES, GridWorld

Array = NDArray[np.float64]
MOVE_COUNT = len(MOVES)
FORGETTING = 0.7
"""Exponent of λ = n^-0.7 at the n-th try of an action in a state; a sum that converges needs one in
(0.5, 1]."""


def q_learning(
    world: GridWorld,
    seed: int,
    transitions: int = 2_000_000,
    exploration: float = 0.2,
    optimism: float = 100.0,
) -> Array:
    """Return Q [S, A] after so many transitions, undiscounted: the chance of ending is the horizon.

    Args:
        world: the world, which starts anew whenever an episode ends.
        seed: seed of the episodes.
        transitions: number of transitions.
        exploration: ε, the probability of an action drawn evenly.
        optimism: initial Q. Above what can be had, all of a world is tried, also what lies behind
            pits (Sutton and Barto 2018, section 2.6).
    """
    q = np.full((world.states, world.actions), optimism)
    _learn(
        q,
        world.after,
        world.noise,
        world.ending,
        world.reward,
        world.terminal,
        world.start,
        world.restarts,
        np.random.default_rng(seed),
        transitions,
        exploration,
    )
    return q


def noisy_greedy(q: Array, noise: float) -> Array:
    """Return probabilities [S, A] of the greedy action, and with probability `noise` of any."""
    states, actions = q.shape
    policy = np.full((states, actions), noise / actions)
    policy[np.arange(states), q.argmax(axis=1)] += 1 - noise
    return policy


@njit(cache=True)
def _learn(  # type: ignore[no-untyped-def]
    q,
    after,
    noise,
    ending,
    reward,
    terminal,
    start,
    restarts,
    random,
    transitions,
    exploration,
):
    actions = q.shape[1]
    tried = np.zeros(q.shape, np.int64)
    rates = np.arange(1, 4097) ** -FORGETTING
    state = start
    for _ in range(transitions):
        action = int(random.random() * actions)
        if random.random() >= exploration:
            action = q[state].argmax()
        move = int(random.random() * MOVE_COUNT) if random.random() < noise else action
        to = after[state, move]
        ended = random.random() < ending or (terminal[to] and not restarts)
        into = start if ended or terminal[to] else to
        # What is cut off by the chance of ending is an end like any other.
        target = reward[to] + (0.0 if ended else q[into].max())
        tried[state, action] += 1
        often = tried[state, action]
        # λ of Q ← (1 − λ) Q + λ (r + max Q')
        rate = rates[often - 1] if often <= len(rates) else often**-FORGETTING
        q[state, action] += rate * (target - q[state, action])
        state = into
