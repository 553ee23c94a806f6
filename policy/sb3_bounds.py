"""The bounds of the actions in a Stable-Baselines3 zip, exactly, without unpickling.

The zip has them twice: as numpy printed them, which is rounded as `np.set_printoptions` says in the
script that saved the zip, and as raw bytes in the pickle of the space. A pickle is a list of
instructions; this file looks through them for bytes and follows none.
"""

from __future__ import annotations

import base64
import binascii
import pickletools
import re
from collections.abc import Iterator
from itertools import dropwhile
from math import prod
from typing import Any

import numpy as np

LIKE = 0.5
"""The bytes must say what the text says, to this, or to this share of it: numpy prints at least
whole numbers, or one digit with an exponent."""


def stated_bound(space: dict[str, Any], name: str) -> list[float] | None:
    """Return one bound of a Box, value by value in the order of a flattened action.

    Args:
        space: the plain fields of the space.
        name: "low" or "high".

    Returns:
        None if neither the bytes nor the text can be read.
    """
    printed, exact = _printed(space.get(name)), _exact(space, name)
    return printed if exact is None else exact


def _printed(text: Any) -> list[float] | None:
    """Parse a bound as numpy prints it, `[-1. -1.]`; a long one is shortened, which gives None."""
    if not isinstance(text, str):
        return None
    try:
        return [float(number) for number in re.sub(r"[\[\]]", " ", text).split()]
    except ValueError:
        return None


def _exact(space: dict[str, Any], name: str) -> list[float] | None:
    """Return the bound whose bytes follow its name in the pickle, if it agrees with the text."""
    shape = space.get("_shape")
    try:
        kind = np.dtype(str(space.get("dtype")))
        pickle = base64.b64decode(str(space.get(":serialized:")), validate=True)
        sizes = tuple(int(size) for size in shape) if isinstance(shape, list) else ()
    except (TypeError, ValueError, binascii.Error):
        return None
    if kind.kind not in "fiu" or not sizes or min(sizes) < 1:
        return None
    printed = _printed(space.get(name))
    for data in _bytes_after(pickle, name):
        if len(data) != kind.itemsize * prod(sizes):
            continue
        values = np.frombuffer(data, kind).astype(np.float64)
        columns = values.reshape(sizes[::-1]).T.reshape(-1)
        if printed is None:  # then nothing says which of the orders it is
            return [float(value) for value in values] if (values == columns).all() else None
        if len(printed) == len(values):
            best = min((values, columns), key=lambda order: np.abs(order - printed).max())
            if (np.abs(best - printed) <= LIKE * np.maximum(1, np.abs(best))).all():
                return [float(value) for value in best]
    return None


def _bytes_after(pickle: bytes, name: str) -> Iterator[Any]:
    """Yield the arguments that are bytes behind the text `name`, up to the end or a fault."""
    try:
        arguments = (argument for _, argument, _ in pickletools.genops(pickle))
        for argument in dropwhile(lambda argument: argument != name, arguments):
            if isinstance(argument, (bytes, bytearray)):
                yield argument
    except (ValueError, IndexError, OverflowError):  # it is cut short, or no pickle
        return
