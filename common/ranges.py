"""Settings within their ranges, or a line that says which is not and what it may be."""

from __future__ import annotations

import math
from typing import Any

from sparsectl.common.errors import UserError

MANY = 2**31 - 1
"""More than any count here can be: it is in the range of what counts in C and in numpy."""


def check_counts(config: Any, least: int, *names: str, most: int = MANY, of: str = "") -> None:
    """See that the whole numbers of those names, or of each tuple of them, are in range.

    Args:
        config: which has them.
        least, most: the range.
        names: of its fields.
        of: what `config` is called, where it is nested: `finetune` for --finetune.steps.

    Raises:
        UserError: one is not.
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
    """The same of real numbers, which are finite.

    Raises:
        UserError: one is out of range, infinite or not a number.
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
