"""Run episodes side by side in one process, and record them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.acting.networks import Array
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.acting.states import Recurrent, States
from sparsectl.policy.choices import choices_of
from sparsectl.policy.signals_json import normaliser
from sparsectl.training.data.dataset import VALUES_KIND, Dataset
from sparsectl.training.rollouts.together import Together

Seed = tuple[int, ...]
"""Seeds of episodes: their series (seeds.py), and what distinguishes one run of it from another."""


@dataclass(frozen=True)
class Behaviour:
    """The policy that acts in an episode, and the one that labels.

    Attributes:
        actor: the policy whose actions are executed.
        teacher: the policy whose actions are recorded as labels; None: the actor.
        noise: standard deviation of Gaussian action noise, a fraction of half the action's range;
            where actions are choices the probability ε of a choice by chance.
        noise_fraction: share of episodes with noise.
        start: where episodes begin, one of the environment's `metadata["starts"]`; None: as always.
    """

    actor: ActingPolicy
    teacher: ActingPolicy | None = None
    noise: float = 0.0
    noise_fraction: float = 1.0
    start: str | None = None


@dataclass(frozen=True)
class Episode:
    """One episode: its transitions, and `info["is_success"]` at its end where there is one."""

    transitions: Dataset
    success: bool | None = field(default=None)

    @property
    def episode_return(self) -> float:
        return float(self.transitions.rewards.sum(dtype=np.float64))


def run_block(
    running: Together,
    signals: dict[str, Any],
    behaviour: Behaviour,
    seed: Seed,
    numbers: range,
    rows: int = 1,
) -> list[Episode]:
    """Run episodes side by side in this process; the noise of each follows from (seed, number).

    Args:
        running: the episodes, just begun.
        signals: of the environment.
        behaviour: who acts, and who labels.
        seed: of the noise.
        numbers: one an episode.
        rows: batch size of the actor, which is constant.

    Returns:
        list: an episode ends by termination or truncation of the environment.
    """
    *_, scale, low, high = normaliser(signals)
    disturb = _explored if choices_of(signals) else _noisy
    dice = [np.random.default_rng([*seed, number]) for number in numbers]
    noise = [behaviour.noise if one.random() < behaviour.noise_fraction else 0.0 for one in dice]
    columns: list[list[list[Any]]] = [[[] for _ in range(7)] for _ in numbers]
    acting = behaviour.actor.acting
    states = States(acting, len(numbers)) if isinstance(acting, Recurrent) else None
    while not running.is_over.all():
        live = np.flatnonzero(~running.is_over)
        if states is None:
            actions = _acted(behaviour.actor, running.observations, numbers, live, rows)
        else:
            actions = np.zeros((len(numbers), behaviour.actor.action_size), np.float32)
            actions[live] = states.act(running.observations[live], live)
        executed = actions.copy()
        for i in live:
            executed[i] = disturb(actions[i], noise[i], dice[i], scale, low, high)
        steps = running.step(executed)
        for i in live:
            values = (
                steps.observations[i],
                executed[i],
                steps.rewards[i],
                steps.after[i],
                steps.terminated[i],
                steps.truncated[i],
                actions[i],
            )
            for column, value in zip(columns[i], values, strict=True):
                column.append(value)
    return [
        Episode(_labelled(behaviour, signals, each[:6], each[6]), success)
        for each, success in zip(columns, running.successes, strict=True)
    ]


def _acted(
    actor: ActingPolicy, observations: Array, numbers: range, live: NDArray[np.int64], rows: int
) -> Array:
    """Return the actor's actions [episodes, m]; those of a finished episode mean nothing.

    A row of a product of matrices may differ in its last bit with their number of rows and with its
    place among them. So an episode has its own place in a batch of as many rows always, and what
    happens in it does not depend on its neighbours.
    """
    actions = np.zeros((len(observations), actor.action_size), np.float32)
    groups, places = np.divmod(np.array(numbers)[live], rows)
    for group in np.unique(groups):
        chosen = groups == group
        batch = np.zeros((rows, observations.shape[1]), np.float32)
        batch[places[chosen]] = observations[live[chosen]]
        actions[live[chosen]] = actor.act(batch)[places[chosen]]
    return actions


def _labelled(
    behaviour: Behaviour, signals: dict[str, Any], columns: list[list[Any]], actions: list[Array]
) -> Dataset:
    """Return an episode's transitions, labelled by the teacher or by the actor's own actions."""
    teacher = behaviour.teacher
    labels = np.stack(actions) if teacher is None else teacher.run(np.stack(columns[0]))
    dataset = _dataset(columns, labels, signals)
    labeller = teacher or behaviour.actor
    if labeller.values_kind is None:
        return dataset
    metadata = {**dataset.metadata, VALUES_KIND: labeller.values_kind}
    given = labeller.values(dataset.observations)
    return replace(dataset, teacher_values=given, metadata=metadata)


def _noisy(
    action: Array, noise: float, random: np.random.Generator, scale: Array, low: Array, high: Array
) -> Array:
    """Return the action [m] with Gaussian noise, within its limits."""
    noisy = action + (scale * noise) * random.standard_normal(action.shape)
    executed: Array = np.minimum(np.maximum(noisy, low), high).astype(np.float32)
    return executed


def _explored(
    action: Array, noise: float, random: np.random.Generator, scale: Array, low: Array, high: Array
) -> Array:
    """Return the choice [1] or, with probability ε, a random one: ε-greedy."""
    by_chance = random.integers(int(low[0]), int(high[0]), endpoint=True)
    return np.array([by_chance], np.float32) if random.random() < noise else action


def _dataset(columns: list[list[Any]], labels: Array, signals: dict[str, Any]) -> Dataset:
    observations, actions, rewards, after, terminations, truncations = columns
    return Dataset(
        np.stack(observations),
        np.stack(actions),
        labels,
        np.asarray(rewards, np.float32),
        np.stack(after),
        np.asarray(terminations, np.bool_),
        np.asarray(truncations, np.bool_),
        {"signals": signals},
    )
