"""The transitions that a student learns from: the teacher's, and rounds that the student drives.

A teacher's own episodes never show the states that a student's mistakes lead to. Adding those, with
the teacher's action as the label, is DAgger (Ross, Gordon, Bagnell 2011).

From the usual start they also never show a state that a failing student cannot leave, such as a
spinning pole. Episodes with uniform initial states do, if the environment has such a start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.acting.networks import Array
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.training.data.dataset import Dataset, joined
from sparsectl.training.data.files import read_dataset, write_dataset
from sparsectl.training.rollouts.block import Behaviour
from sparsectl.training.rollouts.episodes import Rollouts
from sparsectl.training.rollouts.seeds import Series
from sparsectl.training.settings import DaggerSettings

ROWS_AT_ONCE = 4_096
"""Observations that a student acts in together, when all of a dataset are looked at."""
UNIFORM = ("uniform", "anywhere")
"""Names of uniform initial states in an environment's `metadata["starts"]`, the former one last."""


class AggregatedData:
    """The data collected so far.

    Args:
        dataset: the teacher's.
        teacher: labels the states that a student reaches; None: no rounds.
        rollouts: run the student; None: no rounds.
        settings: transitions and noise of a round.
        seed: of the rounds.
        folder: contains the rounds' files, which a resumed run reads again.
    """

    def __init__(
        self,
        dataset: Dataset,
        teacher: ActingPolicy | None,
        rollouts: Rollouts | None,
        settings: DaggerSettings,
        seed: int,
        folder: Path,
    ) -> None:
        self.parts = [dataset]
        self.teacher = teacher
        self.rollouts = rollouts
        self.settings = settings
        self.seed = seed
        self.folder = folder

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def all(self, teacher_return: float | None) -> Dataset:
        """Return all transitions, with those of hard episodes repeated to reach their share."""
        everything = joined(self.parts)
        if teacher_return is None or len(self.parts) == 1 or not self.settings.hard_share:
            return everything
        least = teacher_return - self.settings.hard_loss * abs(teacher_return)
        hard = np.concatenate([hard_rows(part, least) for part in self.parts[1:]])
        rows = np.flatnonzero(hard) + len(self.parts[0])
        share = self.settings.hard_share
        wanted = round((len(everything) - len(rows)) * share / (1 - share))
        return everything.repeated(rows, wanted - len(rows))

    def add(self, number: int, student: Callable[[], ActingPolicy], tries: int = 1) -> Dataset:
        """Add round `number`: from its file, or driven by the student as it is now.

        Args:
            number: index of the round; its episodes follow from the seed and this.
            student: the policy that drives.
            tries: how many times more transitions are driven than the round keeps.

        Returns:
            Dataset: the round's transitions, which are now part of the data.
        """
        settings, starts = self.settings, self.rollouts.starts if self.rollouts else ()
        counts: dict[str | None, int] = {None: settings.transitions}
        if settings.uniform_starts and (known := [name for name in UNIFORM if name in starts]):
            counts[known[0]] = math.ceil(settings.uniform_starts * settings.transitions)
        added = []
        for start, count in counts.items():
            path = self.folder / f"round-{number}{'' if start is None else '-' + start}.npz"
            if not path.exists():
                write_dataset(path, self._driven(number, student(), count, tries, start))
            added.append(read_dataset(path))
        self.parts += added
        return joined(added)

    def _driven(
        self, number: int, student: ActingPolicy, count: int, tries: int, start: str | None
    ) -> Dataset:
        assert self.rollouts is not None and self.teacher is not None
        noise, fraction = self.settings.noise, self.settings.noise_fraction
        behaviour = Behaviour(student, self.teacher, noise, fraction, start)
        series = (Series.DAGGER, self.seed, number, *([] if start is None else [1]))
        label = f"round {number}" + ("" if start is None else f", {start}")
        return mined(self.rollouts.transitions(behaviour, series, tries * count, label), count)

    def imitation_error(self, student: ActingPolicy) -> float:
        """Return the mean squared difference from the teacher over all transitions, in units of the
        action; where actions are choices, the share of transitions in which it takes another."""
        if self.parts[0].has_choices:
            others = [
                (acted(student, p) != p.teacher_actions)[~np.isnan(p.teacher_actions)]
                for p in self.parts  # NaN: another task's
            ]
            return float(np.concatenate(others).mean())
        squares = [(acted(student, p) - p.teacher_actions) ** 2 for p in self.parts]
        return float(np.concatenate(squares).sum(axis=1).mean())


def acted(student: ActingPolicy, data: Dataset) -> Array:
    """Return the student's actions in all observations [N, m]; a convolution copies each image many
    times over, so that not all of them are taken at once."""
    rows = range(0, max(1, len(data)), ROWS_AT_ONCE)
    each = [student.act(data.observations[first : first + ROWS_AT_ONCE]) for first in rows]
    return np.concatenate(each)


def mined(driven: Dataset, count: int) -> Dataset:
    """Return `count` transitions of the driven episodes, half of them from the worst episodes.

    A failure in one of a hundred episodes is rarely among the first few that a student drives.
    """
    if count >= len(driven):
        return driven
    rows, values = episodes_of(driven)
    worst: list[int] = []
    for index in np.argsort(values[:-1], kind="stable"):
        if sum(len(rows[i]) for i in worst) + len(rows[index]) > count // 2:
            break
        worst.append(int(index))
    others = [index for index in range(len(rows)) if index not in worst]
    order = np.concatenate([rows[index] for index in [*worst, *others]])
    return driven.taken(order).first(count)


def episodes_of(driven: Dataset) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """Return the rows of each episode, and its return; the last one may be cut."""
    ends = np.flatnonzero(driven.terminations | driven.truncations)
    rows = np.split(np.arange(len(driven)), ends[:-1] + 1)
    values = [driven.rewards[episode].sum(dtype=np.float64) for episode in rows]
    return rows, np.array(values)


def hard_rows(driven: Dataset, least_return: float) -> NDArray[np.bool_]:
    """Return which transitions [N] belong to complete episodes with a lower return."""
    rows, values = episodes_of(driven)
    hard = np.zeros(len(driven), np.bool_)
    for episode, value in zip(rows[:-1], values[:-1], strict=True):
        hard[episode] = value < least_return
    return hard
