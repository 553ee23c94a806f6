"""The transitions a student learns from: the teacher's, and rounds that the student drives.

A teacher's own episodes never show the states that a student's mistakes lead to. Adding those, with
the teacher's action as the label, is DAgger (Ross, Gordon, Bagnell 2011).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.config import DaggerSettings
from training.dataset import Dataset, joined, read_dataset, write_dataset
from training.policy import Policy
from training.rollouts import DAGGER, Behaviour, Rollouts


class Coverage:
    """The data so far.

    Args:
        dataset: the teacher's.
        teacher: labels the states that a student meets; None: no rounds.
        rollouts: where a student drives; None: no rounds.
        settings: transitions and noise of a round.
        seed: of the rounds.
        folder: of the rounds' files, which a resumed run reads again.
    """

    def __init__(
        self,
        dataset: Dataset,
        teacher: Policy | None,
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
        """All transitions; those of hard episodes as often as makes them the wanted share."""
        everything = joined(self.parts)
        if teacher_return is None or len(self.parts) == 1 or not self.settings.hard_share:
            return everything
        least = teacher_return - self.settings.hard_loss * abs(teacher_return)
        hard = np.concatenate([hard_rows(part, least) for part in self.parts[1:]])
        rows = np.flatnonzero(hard) + len(self.parts[0])
        share = self.settings.hard_share
        wanted = round((len(everything) - len(rows)) * share / (1 - share))
        return everything.repeated(rows, wanted - len(rows))

    def add(self, number: int, student: Callable[[], Policy]) -> Dataset:
        """Add round `number`: from its file, or driven by the student as it is now."""
        path = self.folder / f"round-{number}.npz"
        if not path.exists():
            write_dataset(path, self._driven(number, student()))
        data = read_dataset(path)
        self.parts.append(data)
        return data

    def _driven(self, number: int, student: Policy) -> Dataset:
        assert self.rollouts is not None and self.teacher is not None
        settings = self.settings
        behaviour = Behaviour(student, self.teacher, settings.noise, settings.noise_fraction)
        series = (DAGGER, self.seed, number)
        return self.rollouts.transitions(behaviour, series, settings.transitions, f"round {number}")

    def imitation_error(self, student: Policy) -> float:
        """Mean squared difference from the teacher over all transitions, in units of the action."""
        squares = [(student.act(p.observations) - p.teacher_actions) ** 2 for p in self.parts]
        return float(np.concatenate(squares).sum(axis=1).mean())


def hard_rows(driven: Dataset, least_return: float) -> NDArray[np.bool_]:
    """Which transitions [N] are of whole episodes that returned less; the last one may be cut."""
    ends = np.flatnonzero(driven.terminations | driven.truncations)[:-1]
    hard = np.zeros(len(driven), np.bool_)
    start = 0
    for end in ends:
        episode = slice(start, end + 1)
        hard[episode] = driven.rewards[episode].sum(dtype=np.float64) < least_return
        start = end + 1
    return hard
