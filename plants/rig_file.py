"""Read a rig's TOML file as it is, and check its values one by one."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError


def read_table(path: Path) -> dict[str, Any]:
    """Return the table of a rig's file, unchecked.

    Raises:
        UserError: not TOML.
    """
    try:
        # some editors write a byte order mark
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a rig file: {error}; fix that line") from error
    except RecursionError as error:
        raise UserError(f"{path} is not a rig file: it is nested too deeply") from error


MOST: Final = 1e9
"""No number of a rig is larger."""
LONGEST: Final = 60
"""Characters of a value that a message shows."""


def number(value: Any, where: str, path: Path) -> float:
    """Return a value that must be a finite number.

    Raises:
        UserError: it is none, or beyond what any rig has.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise UserError(f"{path}: {where} is {shown(value)}; give a finite number")
    if abs(value) > MOST:
        raise UserError(f"{path}: {where} is {shown(value)}; give a number within ±{MOST:g}")
    return value


def shown(value: Any) -> str:
    """Return a value as a message shows it, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def span(value: Any, where: str, path: Path) -> tuple[float, float]:
    """Return a value that must be a range, [low, high].

    Raises:
        UserError: it is none.
    """
    if not isinstance(value, list) or len(value) != 2:
        raise UserError(f"{path}: {where} is {shown(value)}; give [low, high]")
    low, high = (float(number(item, where, path)) for item in value)
    if low > high:
        raise UserError(f"{path}: {where} is {value!r}; the first must not exceed the second")
    return low, high


def whole_number(value: Any, where: str, path: Path) -> int:
    """Return a value that must be a whole number.

    Raises:
        UserError: it is none.
    """
    if number(value, where, path) != int(value):
        raise UserError(f"{path}: {where} is {value!r}; give a whole number")
    return int(value)
