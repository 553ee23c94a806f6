"""What a policy of a small world returns, exactly: the chain that it makes is solved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsectl.training.trajectory.grid_worlds import ENDING, MOVES, GridWorld

Array = NDArray[np.float64]


def transition_matrix(world: GridWorld, policy: Array) -> Array:
    """Probabilities [S, S] of entering a state next, those of episodes that go on and end alike."""
    matrix = np.zeros((world.states, world.states))
    rows = np.arange(world.states)
    for action in range(world.actions):
        np.add.at(matrix, (rows, world.after[:, action]), (1 - world.noise) * policy[:, action])
    for move in range(len(MOVES)):
        np.add.at(matrix, (rows, world.after[:, move]), world.noise / len(MOVES))
    return matrix


def going_on(world: GridWorld, entering: Array) -> Array:
    """Probabilities [S, S] of standing in a state next with the episode not over."""
    there = entering * (1 - ENDING)
    to_start = there[:, world.terminal].sum(axis=1)
    there[:, world.terminal] = 0.0
    if world.restarts:
        there[:, world.start] += to_start
    return there


def values(world: GridWorld, policy: Array) -> Array:
    """V(s), the expected sum of rewards from each state on, [S].

    Args:
        world: where.
        policy: probabilities of actions [S, A].
    """
    entering = transition_matrix(world, policy)
    matrix = np.eye(world.states) - going_on(world, entering)
    return np.linalg.solve(matrix, entering @ world.reward).astype(np.float64, copy=False)


def visits(world: GridWorld, policy: Array) -> Array:
    """How often an episode is expected to act in each state, [S]."""
    matrix = np.eye(world.states) - going_on(world, transition_matrix(world, policy))
    begin = np.zeros(world.states)
    begin[world.start] = 1.0
    return np.linalg.solve(matrix.T, begin).astype(np.float64, copy=False)


def expected_return(world: GridWorld, policy: Array) -> float:
    """From the start."""
    return float(values(world, policy)[world.start])


def divergence(world: GridWorld, teacher: Array, student: Array, along: Array) -> float:
    """KL(π‖π_θ) a step, averaged over the states that the policy `along` visits, nats."""
    weight = visits(world, along)
    ratio = np.log(np.maximum(teacher, 1e-300)) - np.log(np.maximum(student, 1e-300))
    return float((teacher * ratio).sum(axis=1) @ weight / weight.sum())
