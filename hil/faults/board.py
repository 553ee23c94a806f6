"""Faults of the board itself, ordered from the host port: a tick that takes long, one with no end.

They come at a time of the board's clock, which lockstep makes exact; see `firmware --help`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STALLED_PERIODS: Final = 6
"""More than a duty may be old, fewer than the watchdog waits for."""

BOARD_FAULTS: Final[dict[str, Callable[[int, int], list[str]]]] = {
    "stalled_board": lambda at_us, period_us: [
        *("--stall-at-us", str(at_us)),
        *("--stall-us", str(STALLED_PERIODS * period_us)),
    ],
    "hung_board": lambda at_us, period_us: ["--hang-at-us", str(at_us)],
}
"""The firmware's options for a fault at this time, in us, under this control period, in us."""
