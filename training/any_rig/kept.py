"""The episodes that a distillation learns from, on disk too, so that a resumed run has the same."""

from __future__ import annotations

import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.policy.state_dict import TORCH_ERRORS
from sparsectl.training.any_rig.acting import Array
from sparsectl.training.any_rig.rollout import Driven

DAMAGE: Final = (OSError, zipfile.BadZipFile, *TORCH_ERRORS)
"""What numpy and torch raise on files that are incomplete or of something else."""


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """Read one of a run's own files.

    Raises:
        UserError: it is damaged.
    """
    try:
        yield
    except DAMAGE as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}), so the run cannot continue; delete "
            f"{path.parent} and begin again"
        ) from error


class Episodes(NamedTuple):
    """Of a round, as `rollout.Driven` has them, [ticks, rigs, ...]."""

    inputs: Array
    labels: Array
    running: NDArray[np.bool_]


class KeptEpisodes:
    """Those of the last rounds, each in a file of its own until the run has ended.

    Args:
        folder: of the run.
        rounds: that are kept.
    """

    def __init__(self, folder: Path, rounds: int) -> None:
        self._folder = folder
        self._rounds: deque[Episodes] = deque(maxlen=rounds)

    def __len__(self) -> int:
        return len(self._rounds)

    def __getitem__(self, place: int) -> Episodes:
        """Those of a round; 0: of the first one that is kept."""
        return self._rounds[place]

    def add(self, number: int, driven: Driven) -> None:
        """Keep those of round `number`, the newest one."""
        episodes = Episodes(driven.inputs, driven.labels, driven.running)
        self._rounds.append(episodes)
        with atomic_path(self._path(number)) as temporary, temporary.open("wb") as file:
            np.savez(file, **episodes._asdict())

    def forget_files(self, before: int) -> None:
        """Delete the files of rounds that a run which resumes with round `before` does not need."""
        for path in self._folder.glob(self._path("*").name):
            if int(path.stem.rpartition("_")[2]) < before - (self._rounds.maxlen or 0):
                path.unlink()

    def delete_files(self) -> None:
        """The run has ended."""
        for path in self._folder.glob(self._path("*").name):
            path.unlink()

    def load(self, number: int) -> None:
        """Take up those of the rounds before `number`, as far as there are files.

        Raises:
            UserError: one is damaged.
        """
        for each in range(max(0, number - (self._rounds.maxlen or 0)), number):
            path = self._path(each)
            if path.is_file():
                with intact(path), np.load(path) as arrays:
                    self._rounds.append(Episodes(*(arrays[name] for name in Episodes._fields)))

    def _path(self, number: int | str) -> Path:
        return self._folder / f"episodes_{number}.npz"
