"""Signals as JSON, as datasets, students and environments carry them: checked, and as arrays."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32
from sparsectl.policy.signals import parse_signals

JSON = dict[str, Any]

IMAGE: Final = "image"
"""Key in the signals: [height, width, channels] of an observation that is one image, pixel by
pixel."""
FIELDS: Final = ("name", "unit", "scale", "offset", "low", "high")
MAX_FRAMES = 1000


def check_signals(signals: Any, where: str) -> None:
    """Check signals that came from a file; `where` names them in the error.

    Raises:
        UserError: a part is missing or has the wrong type, or the image is not of the observation's
            size.
    """
    parsed = parse_signals(signals, where)
    for side in ("observation", "action"):
        for index, entry in enumerate(signals[side]):
            if absent := [field for field in FIELDS if field not in entry]:
                raise UserError(f"{where}.{side}[{index}] has no {absent[0]}; make the file again")
    if "frames" not in signals or parsed.frames > MAX_FRAMES:
        raise UserError(
            f"{where}.frames is {signals.get('frames')}; give a whole number from 1 to {MAX_FRAMES}"
        )
    _check_image(signals, where)


def _check_image(signals: JSON, where: str) -> None:
    shape = signals.get(IMAGE)
    if shape is None:
        return
    whole = isinstance(shape, list) and len(shape) == 3 and all(type(n) is int for n in shape)
    if not whole or min(shape) < 1 or math.prod(shape) != len(signals["observation"]):
        raise UserError(
            f"{where}.image is {shape!r}; it must be the height, width and channels of the "
            f"{len(signals['observation'])} signals of observation"
        )
    if signals["frames"] != 1:
        raise UserError(f"{where}.image with {signals['frames']} frames; an image has one")


def image_of(signals: JSON) -> tuple[int, int, int] | None:
    """Return [height, width, channels] of the image that an observation is; None: it is not one."""
    shape = signals.get(IMAGE)
    if shape is None:
        return None
    height, width, channels = shape
    return height, width, channels


def normaliser(signals: JSON) -> tuple[Float32, Float32, Float32, Float32, Float32, Float32]:
    """Return offset and scale of the observation [n]; offset, scale, low and high of the action
    [m].

    An observation has `frames` times the signals, oldest frame first.
    """
    observation, action = signals["observation"], signals["action"]
    frames = int(signals["frames"])
    limits = [
        [fallback if entry[key] is None else entry[key] for entry in action]
        for key, fallback in (("low", -np.inf), ("high", np.inf))
    ]
    return (
        np.tile(_column(observation, "offset"), frames),
        np.tile(_column(observation, "scale"), frames),
        _column(action, "offset"),
        _column(action, "scale"),
        np.asarray(limits[0], np.float32),
        np.asarray(limits[1], np.float32),
    )


def _column(entries: list[JSON], key: str) -> Float32:
    return np.asarray([entry[key] for entry in entries], dtype=np.float32)
