"""Families of environments from packages of their own: MinAtar's games and Atari's.

An id's part before the slash names the family; its package is imported when such an id is asked
for, since Gymnasium itself imports no package by a name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from sparsectl.common.errors import NotInstalled, UserError

LONGEST_GAME = 10_000
"""Steps after which a game of MinAtar is cut off. In Seaquest a submarine that stays at the surface
plays for ever, as many a policy does before it has learnt anything."""

FRAMES = 4
"""Consecutive frames of an Atari game in one observation, as for DQN (Mnih et al. 2015)."""


@dataclass(frozen=True)
class Family:
    """A family of environments.

    Attributes:
        package: the package to import.
        extra: the extra of sparsectl that installs it.
        register: makes its ids known to Gymnasium.
        make: makes an environment from its id and keyword arguments.
    """

    package: str
    extra: str
    register: Callable[[ModuleType], None]
    make: Callable[..., gymnasium.Env[Any, Any]] = gymnasium.make


class ChannelsLast(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Stacked frames [frames, height, width] as an image [height, width, frames]."""

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        super().__init__(environment)
        space: Any = environment.observation_space
        low, high = (np.moveaxis(end, 0, -1) for end in (space.low, space.high))
        self.observation_space = Box(low, high, dtype=space.dtype)

    def observation(self, observation: NDArray[Any]) -> NDArray[Any]:
        """Return the observation with the frames' pixels in order."""
        return np.moveaxis(np.asarray(observation), 0, -1)


def _atari(place: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Make an Atari game behind DQN's wrappers: up to 30 idle steps at the start, every fourth
    frame, 84 x 84 pixels of grey from 0 to 1, four of these together.

    With `obs_type` "ram" the console's 128 bytes, of every fourth frame; `screen_size` is that of
    the image.
    """
    if kwargs.get("obs_type", "grayscale") != "grayscale":
        return gymnasium.make(place, **kwargs)
    size = kwargs.pop("screen_size", 84)
    kwargs = {"repeat_action_probability": 0.0, **kwargs, "frameskip": 1}
    game = gymnasium.make(place, **kwargs)
    game = gymnasium.wrappers.AtariPreprocessing(game, screen_size=size, scale_obs=True)
    return ChannelsLast(gymnasium.wrappers.FrameStackObservation(game, FRAMES))


def _minatar(place: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """A game of MinAtar, which has no limit of its own but for Freeway; `max_episode_steps` is
    another limit."""
    return gymnasium.make(place, **{"max_episode_steps": LONGEST_GAME, **kwargs})


def _register_minatar(module: ModuleType) -> None:
    if not any(name.startswith("MinAtar/") for name in gymnasium.registry):
        module.register_envs()


FAMILIES = {
    "MinAtar": Family("minatar.gym", "minatar", _register_minatar, _minatar),
    "ALE": Family("ale_py", "atari", gymnasium.register_envs, _atari),
}
"""The families by the part of an id before the slash."""


def made_of_family(place: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any] | None:
    """Make the environment if its id is of a family; None: it is of none.

    Raises:
        UserError: the family's package is not installed, or has no such game.
    """
    name, slash, _ = place.partition("/")
    if not slash or name not in FAMILIES:
        return None
    family = FAMILIES[name]
    try:
        package = importlib.import_module(family.package)
    except ModuleNotFoundError as error:
        raise NotInstalled(
            f"{place} is of {name}, and {error.name} is not installed; "
            f"pip install 'sparsectl[{family.extra}]'"
        ) from error
    family.register(package)
    games = sorted(known for known in gymnasium.registry if known.startswith(f"{name}/"))
    if place not in games:
        newest = [game for game in games if game.endswith(games[-1].rpartition("-")[2])]
        raise UserError(f"{name} has no game {place}; use one of {_listed(newest)}")
    return family.make(place, **kwargs)


def _listed(games: list[str], most: int = 12) -> str:
    more = f" and {len(games) - most} more" if len(games) > most else ""
    return ", ".join(games[:most]) + more
