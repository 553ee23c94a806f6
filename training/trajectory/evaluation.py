"""Compute exactly what a policy of a small world returns, by solving its Markov chain.

An agent in a grid reaches cells at most a row away. The equations therefore have a narrow band and
are solved in S·w² operations instead of S³; the moves back to the start are one more column, by
Sherman and Morrison's formula. Each row's diagonal outweighs the rest, because an episode may end
after every action, so that elimination needs no pivots (Golub and Van Loan 2013, section 4.1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsectl.training.trajectory.grid_worlds import MOVES, GridWorld

Array = NDArray[np.float64]

MOVE_COUNT = len(MOVES)
SELDOM = 1e-6
"""Probability of an ending that is practically never, at which every chain can still be solved."""


def values(world: GridWorld, policy: Array) -> Array:
    """Return V(s), the expected sum of rewards from each state on, [S].

    Args:
        world: the world.
        policy: probabilities of actions [S, A].
    """
    band, to_start, entered = _chain(world, policy)
    columns = np.stack([entered, to_start], axis=1)
    _eliminate(band, columns)
    value, back = columns[:, 0], columns[:, 1]
    begin = world.start
    solved: Array = value + back * value[begin] / (1 - back[begin])
    return solved


def visits(world: GridWorld, policy: Array) -> Array:
    """Return how often an episode is expected to act in each state, [S]."""
    band, to_start, _ = _chain(world, policy)
    columns = np.zeros((world.states, 1))
    columns[world.start] = 1.0
    _eliminate(_transposed(band), columns)
    visited = columns[:, 0]
    solved: Array = visited / (1 - to_start @ visited)
    return solved


def expected_return(world: GridWorld, policy: Array) -> float:
    """Return the expected return from the start."""
    return float(values(world, policy)[world.start])


def average_reward(world: GridWorld, policy: Array) -> float:
    """Return the reward per step, in the long run, if the agent is moved to the start and episodes
    never end."""
    endless = replace(world, ending=SELDOM, restarts=True)
    return expected_return(endless, policy) * SELDOM


def divergence(world: GridWorld, teacher: Array, student: Array, along: Array) -> float:
    """Return KL(π‖π_θ) per step, averaged over the states that the policy `along` visits, in
    nats."""
    weight = visits(world, along)
    ratio = np.log(np.maximum(teacher, 1e-300)) - np.log(np.maximum(student, 1e-300))
    return float((teacher * ratio).sum(axis=1) @ weight / weight.sum())


def _chain(world: GridWorld, policy: Array) -> tuple[Array, Array, Array]:
    """Return I − T in band storage [S, 2w + 1], the chance of being moved to the start [S], and
    E[r] [S]."""
    width = int(np.abs(world.after - np.arange(world.states)[:, None]).max())
    band = np.zeros((world.states, 2 * width + 1))
    to_start, entered = np.zeros(world.states), np.zeros(world.states)
    _fill(
        band,
        to_start,
        entered,
        np.ascontiguousarray(policy),
        world.after,
        world.noise,
        world.ending,
        world.reward,
        world.terminal,
    )
    return band, to_start if world.restarts else np.zeros(world.states), entered


@njit(cache=True)
def _fill(band, to_start, entered, policy, after, noise, ending, reward, terminal):  # type: ignore[no-untyped-def]
    states, actions = policy.shape
    width = band.shape[1] // 2
    for state in range(states):
        band[state, width] += 1.0
        for action in range(actions):
            chance = (1 - noise) * policy[state, action]
            if action < MOVE_COUNT:  # the first four actions are the four moves
                chance += noise / MOVE_COUNT
            to = after[state, action]
            entered[state] += chance * reward[to]
            if terminal[to]:
                to_start[state] += (1 - ending) * chance
            else:
                band[state, width + to - state] -= (1 - ending) * chance


@njit(cache=True)
def _eliminate(band, columns):  # type: ignore[no-untyped-def]
    """Solve for every column in place; the band is used up."""
    states, width = len(band), band.shape[1] // 2
    for row in range(states):
        for below in range(row + 1, min(row + width + 1, states)):
            factor = band[below, width + row - below] / band[row, width]
            if factor != 0.0:
                left, here = width + row - below, width
                for step in range(1, width + 1):
                    band[below, left + step] -= factor * band[row, here + step]
                for column in range(columns.shape[1]):
                    columns[below, column] -= factor * columns[row, column]
    for row in range(states - 1, -1, -1):
        for column in range(columns.shape[1]):
            total = columns[row, column]
            for step in range(1, min(width, states - 1 - row) + 1):
                total -= band[row, width + step] * columns[row + step, column]
            columns[row, column] = total / band[row, width]


@njit(cache=True)
def _transposed(band):  # type: ignore[no-untyped-def]
    states, width = len(band), band.shape[1] // 2
    turned = np.zeros(band.shape)
    for row in range(states):
        for column in range(max(0, row - width), min(states, row + width + 1)):
            turned[column, width + row - column] = band[row, width + column - row]
    return turned
