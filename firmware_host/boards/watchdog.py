"""A board's hardware watchdog, and what to set it to so that it bites in time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sparsectl.common.errors import UserError


@dataclass(frozen=True)
class Watchdog:
    """Counts an oscillator since it was last fed, and restarts the board when that is too many.

    What it is set to is worked out for the slowest oscillator that the data sheet allows: a board
    is never without its motor's control for longer than `config_header.watchdog_us`.
    """

    oscillator: str
    """What it counts, for the reader."""
    slowest_hz: float
    fastest_hz: float
    divisors: tuple[int, ...]
    """By which the oscillator can be divided, from the smallest; the port's register takes the
    index."""
    most_counts: int
    """The most that it counts to."""
    time_outs: int = 1
    """So many in a row turn the motor off."""
    free_running: bool = False
    """Feeding forgets the counts, but the present one goes on: it may be almost over."""

    patience: int = 1
    """How many times as long as others it waits, on a board that has no motor: QEMU's time goes on
    while a busy machine keeps QEMU itself waiting."""

    def setting(self, patience_us: int) -> tuple[int, int]:
        """The index of the divisor, and the counts.

        Raises:
            UserError: it cannot wait for so long.
        """
        for index, divisor in enumerate(self.divisors):
            patience_s = self.patience * patience_us * 1e-6
            counts = math.floor(patience_s * self.slowest_hz / divisor / self.time_outs)
            if 1 <= counts <= self.most_counts:
                return index, counts
        raise UserError(
            f"the watchdog of this board cannot wait for {patience_us} us, five control periods; "
            "take a shorter period"
        )

    def bites_us(self, patience_us: int) -> tuple[float, float]:
        """How long after the last feeding it bites: at the least, at the most, in us."""
        index, counts = self.setting(patience_us)
        cycles = self.divisors[index] * self.time_outs
        least = counts - 1 if self.free_running else counts
        return least * cycles / self.fastest_hz * 1e6, counts * cycles / self.slowest_hz * 1e6
