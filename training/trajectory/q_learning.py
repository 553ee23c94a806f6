"""The teacher: tabular Q-learning with ε-greedy episodes (Watkins and Dayan 1992)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsectl.training.trajectory.grid_worlds import ENDING, MOVES, GridWorld

Array = NDArray[np.float64]
MOVE_COUNT = len(MOVES)
FORGETTING = 0.7
"""λ = n^-0.7 at the n-th try of an action in a state; a sum that converges wants (0.5, 1]."""


def q_learning(
    world: GridWorld,
    seed: int,
    transitions: int = 2_000_000,
    exploration: float = 0.2,
    optimism: float = 100.0,
) -> Array:
    """Q [S, A] after so many transitions, undiscounted: the chance of ending is the horizon.

    Args:
        world: it starts anew wherever an episode ends.
        seed: of the episodes.
        transitions: so many.
        exploration: ε, the probability of an action drawn evenly.
        optimism: Q of what was never tried: above what can be had, all of a world is tried, also
            what lies behind pits (Sutton and Barto 2018, section 2.6).
    """
    q = np.full((world.states, world.actions), optimism)
    _learn(
        q,
        world.after,
        world.noise,
        world.reward,
        world.terminal,
        world.start,
        world.restarts,
        seed,
        transitions,
        exploration,
    )
    return q


def noisy_greedy(q: Array, noise: float) -> Array:
    """Probabilities [S, A] of the greedy action, and with probability `noise` of any."""
    states, actions = q.shape
    policy = np.full((states, actions), noise / actions)
    policy[np.arange(states), q.argmax(axis=1)] += 1 - noise
    return policy


@njit(cache=True)
def _learn(q, after, noise, reward, terminal, start, restarts, seed, transitions, exploration):  # type: ignore[no-untyped-def]
    np.random.seed(seed)
    actions = q.shape[1]
    tried = np.zeros(q.shape)
    state = start
    for _ in range(transitions):
        action = np.random.randint(actions)
        if np.random.random() >= exploration:
            action = q[state].argmax()
        move = np.random.randint(MOVE_COUNT) if np.random.random() < noise else action
        to = after[state, move]
        ended = np.random.random() < ENDING or (terminal[to] and not restarts)
        into = start if ended or terminal[to] else to
        # What is cut off by the chance of ending is an end like any other.
        target = reward[to] + (0.0 if ended else q[into].max())
        tried[state, action] += 1
        rate = tried[state, action] ** -FORGETTING  # λ of Q ← (1 − λ) Q + λ (r + max Q')
        q[state, action] += rate * (target - q[state, action])
        state = into
