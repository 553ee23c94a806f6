"""Check that settings are within their ranges."""

from __future__ import annotations

import math
from typing import Any

from sparsectl.common.errors import UserError

MANY = 2**31 - 1
"""An upper limit for counts without one of their own: numpy and C can still represent it."""


def check_counts(config: Any, least: int, *names: str, most: int = MANY, of: str = "") -> None:
    """Check that the whole numbers in these fields, or in the tuples in these fields, are in range.

    Args:
        config: the dataclass that has the fields.
        least, most: the range, inclusive.
        names: of the fields.
        of: the name of `config` where it is nested: `finetune` for --finetune.steps.

    Raises:
        UserError: a number is out of range.
    """
    for name in names:
        value, called = getattr(config, name), f"{of}.{name}" if of else name
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not least <= number <= most:
                raise UserError(f"{called} is {number}; give a number from {least} to {most:,}")


def check_numbers(
    config: Any,
    *names: str,
    over: float | None = None,
    least: float = -math.inf,
    most: float,
    of: str = "",
) -> None:
    """Check real numbers in the same way; they must also be finite.

    Raises:
        UserError: a number is out of range, infinite or NaN.
    """
    for name in names:
        number = getattr(config, name)
        if number is None:
            continue
        low_enough = number > over if over is not None else number >= least
        if not (math.isfinite(number) and low_enough and number <= most):
            start = f"over {over:g}" if over is not None else f"from {least:g}"
            called = f"{of}.{name}" if of else name
            raise UserError(f"{called} is {number:g}; give a number {start} to {most:g}")
