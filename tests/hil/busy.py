"""Real time on a machine that others use too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from sparsectl.common.errors import UserError

TRIES = 8
LATE = re.compile(
    r"COMMAND_LATE in each of|LINK_LOST|OVERRUN|vanished \(hang-up\)|has sent nothing for|"
    r"does not answer|this program itself did not run|did not complete \w+ in|"
    r"nothing heard from it for|on its way to the middle: COMMAND_LATE"
)
"""What a program says that its machine did not run in time; a defect may say the same, but then it
does so in every try."""

Result = TypeVar("Result")


def in_real_time(run: Callable[[int], Result]) -> Result:
    """Return what `run` returns; where the machine was late for it, try again, up to `TRIES` times.

    Args:
        run: takes the number of the try, from 0; what a try leaves must not be in the next one's
            way.

    Raises:
        AssertionError: the machine was late, or the program wrong, in every try; it says how.
        UserError: what `run` raises for any other reason.
    """
    why: list[str] = []
    for number in range(TRIES):
        try:
            return run(number)
        except UserError as error:
            if not LATE.search(str(error)):
                raise
            why.append(str(error))
            print(f"try {number} was cut short: {error}")
    raise AssertionError(f"cut short in each of {TRIES} tries: {why}")
