"""A board's hardware watchdog, and its setting."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sparsectl.common.errors import UserError


@dataclass(frozen=True)
class Watchdog:
    """Counts an oscillator since it was last fed, and restarts the board when that is too many.

    The setting is computed for the slowest oscillator that the data sheet allows: a board never
    stays without motor control for longer than `config_header.watchdog_us`.
    """

    oscillator: str
    """The oscillator that it counts, in words."""
    slowest_hz: float
    fastest_hz: float
    divisors: tuple[int, ...]
    """Divisors of the oscillator, the smallest first; the port's register takes the index."""
    most_counts: int
    """The greatest count."""
    time_outs: int = 1
    """Number of consecutive time-outs that turn the motor off."""
    free_running: bool = False
    """Feeding clears the counts but not the prescaler: the present count may be almost over."""

    patience: int = 1
    """Factor of the waiting time on a board without a motor: QEMU's time continues while a busy
    machine keeps QEMU itself waiting."""

    def setting(self, patience_us: int) -> tuple[int, int]:
        """Return the index of the divisor, and the counts.

        Raises:
            UserError: the watchdog cannot wait for so long.
        """
        for index, divisor in enumerate(self.divisors):
            patience_s = self.patience * patience_us * 1e-6
            counts = math.floor(patience_s * self.slowest_hz / divisor / self.time_outs)
            if 1 <= counts <= self.most_counts:
                return index, counts
        raise UserError(
            f"the watchdog of this board cannot wait for {patience_us} us (five control periods, "
            "at least 0.1 s); take a shorter period"
        )

    def bites_us(self, patience_us: int) -> tuple[float, float]:
        """Return the shortest and the longest time after the last feeding at which it fires, in
        us."""
        index, counts = self.setting(patience_us)
        cycles = self.divisors[index] * self.time_outs
        least = counts - 1 if self.free_running else counts
        return least * cycles / self.fastest_hz * 1e6, counts * cycles / self.slowest_hz * 1e6
