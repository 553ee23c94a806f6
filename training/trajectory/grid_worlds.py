"""Random grid worlds: four moves, walls, rewards and ends, all drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

ENDING: Final = 0.01
"""Probability that an episode ends after an action, wherever it is (appendix 1.1)."""

MOVES: Final = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Up, right, down, left, as rows and columns."""

WALL, OUTSIDE = -1.0e6, -2.0e6
"""Values that a view shows where nobody can go; every reward of a world is higher."""


@dataclass(frozen=True)
class Chances:
    """Probabilities of what a cell becomes, asked in this order (appendix 1.2).

    The paper's text that we could read gives the order and the + 10; the probabilities are ours,
    set so that most worlds have a few goals and a way to them.
    """

    wall: float = 0.1
    goal: float = 0.01
    pit: float = 0.02
    prize: float = 0.01


GOAL, PIT, PRIZE = 10.0, -10.0, 5.0
"""Rewards for entering; all three are terminal, else going to and fro would be worth most."""


@dataclass(frozen=True)
class GridWorld:
    """A finite decision process with S states and A actions.

    Attributes:
        after: [S, A] the state where an action leads when no noise comes between.
        noise: probability that one of the four moves, drawn evenly, takes the action's place.
        reward: [S] for entering a state.
        terminal: [S] whether the agent is moved to the start once it has entered, or the episode
            ends there.
        start: the state in which every episode begins.
        restarts: which of the two. Where it is moved, an episode's length depends on no policy
            (the paper's worlds); where the episode ends, a method whose reward is a negative
            log-likelihood a step gains by ending it.
        seen_as: [S] number of what an agent sees there; states that look alike share it.
        ending: probability that an episode ends after an action; 0 for a task without end.
    """

    after: NDArray[np.int32]
    noise: float
    reward: NDArray[np.float64]
    terminal: NDArray[np.bool_]
    start: int
    seen_as: NDArray[np.int32]
    restarts: bool = True
    ending: float = ENDING

    @property
    def states(self) -> int:
        return len(self.after)

    @property
    def actions(self) -> int:
        return int(self.after.shape[1])

    @property
    def observations(self) -> int:
        return int(self.seen_as.max()) + 1

    def with_actions(self, number: int) -> GridWorld:
        """Return the world with `number` actions: action a moves as a modulo 4 does."""
        return replace(self, after=self.after[:, np.arange(number) % len(MOVES)])


def random_world(
    random: np.random.Generator,
    side: int = 20,
    noise: float = 0.1,
    view: int | None = None,
    chances: Chances | None = None,
) -> GridWorld:
    """Draw a world.

    Args:
        random: where the draws come from; `chances` says what is drawn.
        side: cells in a row and in a column; the start is in the middle.
        noise: see `GridWorld`.
        view: cells that an agent sees in each direction; None, and it sees where it is.
        chances: of what stands in a cell.
    """
    chances = chances or Chances()
    reward, terminal = np.zeros((side, side)), np.zeros((side, side), bool)
    wall = np.zeros((side, side), bool)
    middle = (side // 2, side // 2)
    for row, column in np.ndindex(side, side):
        if (row, column) == middle:
            continue
        if random.random() < chances.wall:
            wall[row, column] = True
        elif random.random() < chances.goal:
            reward[row, column], terminal[row, column] = GOAL, True
        elif random.random() < chances.pit:
            reward[row, column], terminal[row, column] = PIT, True
        elif random.random() < chances.prize:
            reward[row, column], terminal[row, column] = PRIZE, True
    after = np.empty((side * side, len(MOVES)), np.int32)
    for row, column in np.ndindex(side, side):
        for action, (down, right) in enumerate(MOVES):
            there = (row + down, column + right)
            inside = 0 <= there[0] < side and 0 <= there[1] < side
            to = there if inside and not wall[there] else (row, column)
            after[row * side + column, action] = to[0] * side + to[1]
    return GridWorld(
        after,
        noise,
        reward.reshape(-1),
        terminal.reshape(-1),
        middle[0] * side + middle[1],
        _seen(np.where(wall, WALL, reward), terminal, view),
    )


def corridor(length: int = 11, noise: float = 0.0) -> GridWorld:
    """Return a row of cells that ends in a goal on the right and in a pit on the left."""
    cells = np.arange(length)
    right, left = np.minimum(cells + 1, length - 1), np.maximum(cells - 1, 0)
    reward = np.zeros(length)
    reward[0], reward[-1] = PIT, GOAL
    after = np.stack([cells, right, cells, left], axis=1).astype(np.int32)
    return GridWorld(after, noise, reward, reward != 0, length // 2, cells.astype(np.int32))


def _seen(
    content: NDArray[np.float64], terminal: NDArray[np.bool_], view: int | None
) -> NDArray[np.int32]:
    """Number the cells by what is seen from each: its surroundings, or its own place."""
    if view is None:
        return np.arange(content.size, dtype=np.int32)
    width = 2 * view + 1
    windows = [
        np.lib.stride_tricks.sliding_window_view(
            np.pad(plane, view, constant_values=OUTSIDE), (width, width)
        ).reshape(content.size, -1)
        for plane in (content, terminal.astype(np.float64))
    ]
    numbers = np.unique(np.concatenate(windows, axis=1), axis=0, return_inverse=True)[1]
    return numbers.reshape(-1).astype(np.int32)
