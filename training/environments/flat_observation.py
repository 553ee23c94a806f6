"""Flatten observations that are not vectors: a Dict's parts one after the other, arrays row by row.

The order is Stable-Baselines3's (its CombinedExtractor and FlattenExtractor): the parts in the
Dict's order, each flattened in C order, so a policy from there takes the vector unchanged.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from sparsectl.common.errors import UserError

IMAGE_DIMENSIONS = 3


def is_flat(environment: gymnasium.Env[Any, Any]) -> bool:
    """Return whether observations are already vectors, or cannot be flattened."""
    space = environment.observation_space
    flat = isinstance(space, Box) and len(space.shape) == 1
    return flat or not isinstance(space, (Box, Dict))


class FlatObservation(gymnasium.ObservationWrapper[Any, Any, Any]):
    """An environment with vectors as observations.

    Attributes:
        signal_names: a name for each number, such as `desired_goal_0`.
        image_shape: [height, width, channels] where an observation is one image; None: it is not.

    Raises:
        UserError: a part is not an array of real numbers, or one of several parts is an image.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any], name: str) -> None:
        super().__init__(environment)
        space = environment.observation_space
        self._keys: tuple[str, ...] = tuple(space.spaces) if isinstance(space, Dict) else ()
        parts: dict[str, Any] = dict(space.spaces) if isinstance(space, Dict) else {"o": space}
        for key, part in parts.items():
            _check_part(part, f"{name} has observations {key!r} {part}", bool(self._keys))
        shape = parts["o"].shape if not self._keys else ()
        self.image_shape = tuple(map(int, shape)) if len(shape) == IMAGE_DIMENSIONS else None
        self.signal_names = [text for key, part in parts.items() for text in _names(key, part)]
        lows, highs = ([getattr(p, end).reshape(-1) for p in parts.values()] for end in ENDS)
        self.observation_space = Box(
            np.concatenate(lows).astype(np.float32), np.concatenate(highs).astype(np.float32)
        )

    def observation(self, observation: Any) -> NDArray[np.float32]:
        """Return an observation as a vector."""
        parts = [observation[key] for key in self._keys] if self._keys else [observation]
        return np.concatenate([np.asarray(part, np.float32).reshape(-1) for part in parts])


ENDS = ("low", "high")


def _check_part(space: Any, said: str, one_of_several: bool) -> None:
    if not isinstance(space, Box):
        raise UserError(
            f"{said}; only Box can be distilled: --wrapper "
            "gymnasium.wrappers:FlattenObservation makes one vector of all parts, choices as ones "
            "in rows of zeros"
        )
    if one_of_several and space.dtype == np.uint8 and len(space.shape) == IMAGE_DIMENSIONS:
        raise UserError(f"{said}, an image beside other parts; wrap it so that it is alone")


def _names(key: str, space: Box) -> list[str]:
    """Return KEY for a single number, KEY_0 … for a vector, KEY_0_0 … for a matrix."""
    if space.shape in ((), (1,)):
        return [key]
    return ["_".join([key, *map(str, index)]) for index in np.ndindex(space.shape)]
