"""Read the acting network that an RL library saved, by the ending of its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sparsectl.policy.actor_network import ActorNetwork
from sparsectl.policy.cleanrl_file import read_cleanrl
from sparsectl.policy.sb3_file import read_sb3


class ReadActor(Protocol):
    """Returns the deterministic actor of a file; raises UserError where it cannot be one."""

    def __call__(
        self,
        path: Path,
        activation: str | None = None,
        action_low: Sequence[float] | None = None,
        action_high: Sequence[float] | None = None,
    ) -> ActorNetwork: ...


ACTORS: dict[str, ReadActor] = {".zip": read_sb3, ".cleanrl_model": read_cleanrl}
"""Readers by the file's ending: Stable-Baselines3's zip, and what a script of CleanRL saves. These
files contain no normaliser, which comes in a file of its own."""


def is_actor(path: Path) -> bool:
    """Return whether `read_actor` reads files with this ending."""
    return path.suffix.lower() in ACTORS


def read_actor(
    path: Path,
    activation: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
) -> ActorNetwork:
    """Return the deterministic actor in a file of one of `ACTORS`.

    Raises:
        UserError: its reader refuses it.
    """
    return ACTORS[path.suffix.lower()](path, activation, action_low, action_high)
