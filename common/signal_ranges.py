"""Parse ranges of signals as people write them, such as -5,5. Imports nothing heavy."""

from __future__ import annotations

import math
from typing import Annotated, Final, NamedTuple

from tyro.constructors import PrimitiveConstructorSpec

from sparsectl.common.errors import UserError

WIDEST: Final = 1e12


class Pair(NamedTuple):
    """The least and the greatest value of a signal, in physical units."""

    low: float
    high: float


def range_from(text: str) -> Pair:
    """Parse a range.

    Raises:
        UserError: the text is not a range.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--range is {text!r}; give LOW,HIGH such as -5,5") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"--range is {text!r}; give finite numbers, the lower first, such as -5,5")
    if high - low > WIDEST:
        raise UserError(f"--range is {text!r}; give one no wider than {WIDEST:g}")
    return Pair(low, high)


Range = Annotated[
    Pair,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="LOW,HIGH",
        instance_from_str=lambda words: range_from(words[0]),
        is_instance=lambda value: isinstance(value, Pair),
        str_from_instance=lambda value: [f"{value.low:g},{value.high:g}"],
    ),
]
"""A Pair; on the command line -5,5."""
