"""The experiments in grid worlds: which worlds, which teacher, which methods, at which step sizes.

An experiment is a row of data; `grid_worlds.py` runs them and `grid_world_figures.py` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.training.trajectory.evaluation import expected_return, values
from sparsectl.training.trajectory.grid_worlds import GridWorld, corridor, random_world
from sparsectl.training.trajectory.methods import METHODS, WITH_CRITIC
from sparsectl.training.trajectory.q_learning import noisy_greedy, q_learning

CONTROL = ("teacher distill", "on-policy distill", "mixture distill", "uniform distill")
REWARDED = ("entropy regularised", "expected entropy regularised", "N-distill")
VALUES = ("teacher V reward", "teacher V shaping", "teacher V, one step", "policy gradient")
TEACHERS = (*METHODS, "teacher V shaping", "teacher V, one step", "policy gradient")


@dataclass(frozen=True)
class Experiment:
    """Worlds, a teacher, and the methods that are compared there."""

    title: str
    methods: tuple[str, ...]
    noise: float = 0.1
    """Of the teacher: the probability that its action is any."""
    adverse: bool = False
    """The teacher has learnt to lose: rewards changed their sign."""
    actions: int = 4
    view: int | None = None
    restarts: bool = False
    """True if goals and pits move the agent to the start; False if they end the episode."""
    row_of_cells: bool = False
    """A corridor of eleven cells, the same for every seed, in place of random worlds."""
    segment: int | None = None
    """Steps between two updates of a task that never ends."""
    worlds: int = 100
    """Reported, unless --worlds asks for another number."""
    tuning: int = 0
    """Worlds that choose step sizes; 0 for those of `rates_of`."""
    rates_of: str = "methods"
    rates: tuple[float, ...] = tuple(float(10 ** (k / 2)) for k in range(-8, 4))
    """Tried, two a decade."""
    equal: bool = False
    """Every method is reported at each of `rates`."""
    trajectories: int = 30_000
    """Of each student."""
    least: float = 1.0
    """Worlds where teacher and random moves are closer than this are drawn anew: there is nothing
    to be learnt."""


CONTINUING = tuple(float(10 ** (k / 2)) for k in range(-10, 3))
BY_DECADE = tuple(float(10**k) for k in range(-4, 3))
MANY_ACTIONS = (*REWARDED, "on-policy distill")

EXPERIMENTS = {
    "methods": Experiment(
        "Six methods and eight others",
        (*METHODS, *CONTROL[2:], *VALUES[1:], *WITH_CRITIC),
        tuning=4,
    ),
    "thousand": Experiment("The six methods", tuple(METHODS), worlds=1000),
    "control": Experiment(
        "Who acts, at equal step sizes",
        CONTROL,
        rates=(0.001, 0.01, 0.1, 1.0),
        equal=True,
    ),
    "moved back": Experiment(
        "Goals and pits move the agent to the start",
        (*METHODS, *CONTROL[2:], "teacher V shaping", "teacher V, one step"),
        restarts=True,
        tuning=6,
        rates=CONTINUING,
    ),
    "noisy teacher": Experiment("Teacher with 25 % noise", TEACHERS, noise=0.25),
    "adverse teacher": Experiment("Teacher that learnt to lose", TEACHERS, adverse=True),
    "corridor": Experiment("Corridor, good teacher", TEACHERS, row_of_cells=True),
    "adverse corridor": Experiment(
        "Corridor, teacher that learnt to lose",
        TEACHERS,
        row_of_cells=True,
        adverse=True,
    ),
    "partial view": Experiment(
        "The student sees 3 x 3 cells",
        (*METHODS, *CONTROL[2:], "teacher V shaping", "policy gradient"),
        view=1,
        tuning=4,
    ),
    "without end": Experiment(
        "Nothing ends: updates every 100 steps, average reward",
        (*METHODS, "teacher V shaping", "teacher V, one step"),
        restarts=True,
        segment=100,
        tuning=2,
        rates=CONTINUING,
        least=0.001,
    ),
    **{
        f"actions {number}": Experiment(
            f"{number} actions",
            MANY_ACTIONS,
            actions=number,
            tuning=3 if number < 1000 else 1,
            rates=BY_DECADE,
            trajectories=3000,
        )
        for number in (4, 32, 256, 1000)
    },
}


def prepared(experiment: Experiment, seed: int) -> tuple[GridWorld, Any, Any]:
    """A world, its teacher [S, A] and V_π [S]."""
    for draw in range(100):
        random = np.random.default_rng((seed, draw))
        drawn = (
            corridor() if experiment.row_of_cells else random_world(random, view=experiment.view)
        )
        world = replace(drawn, restarts=experiment.restarts)
        learnt = replace(world, reward=-world.reward) if experiment.adverse else world
        optimism = 100.0 if experiment.restarts else 10.0
        q = q_learning(learnt, seed, optimism=optimism)
        # Actions beyond four are the same four moves again, so that their values are known.
        world = world.with_actions(experiment.actions)
        teacher = noisy_greedy(q[:, np.arange(experiment.actions) % q.shape[1]], experiment.noise)
        even = expected_return(world, np.full_like(teacher, 1 / world.actions))
        value = values(world, teacher)
        if abs(value[world.start] - even) >= experiment.least:
            return world, teacher, value
    raise UserError(f"a hundred worlds of seed {seed} have nothing to be learnt; change Chances")
