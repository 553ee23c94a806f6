"""Faults of the board itself, triggered in the host port: a tick that takes long, or never ends.

They come at a given time of the board's clock, which is exact in lockstep; see `firmware --help`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STALLED_PERIODS: Final = 6
"""Periods of a stall: more than a duty may be old, fewer than the watchdog waits."""
BRIEF_PERIODS: Final = 3

BOARD_FAULTS: Final[dict[str, Callable[[int], list[str]]]] = {
    "stalled_board": lambda period_us: ["stall", "--stall-us", str(STALLED_PERIODS * period_us)],
    "brief_stall": lambda period_us: ["stall", "--stall-us", str(BRIEF_PERIODS * period_us)],
    "restarted_board": lambda period_us: ["reset"],
    "hung_board": lambda period_us: ["hang"],
    "spinning_board": lambda period_us: ["spin"],
    "frozen_timer": lambda period_us: ["freeze"],
    "stopped_ticks": lambda period_us: ["stop-ticks"],
    "slow_timer": lambda period_us: ["slow"],
    "fast_timer": lambda period_us: ["fast"],
}
"""The firmware's words for a fault under this control period, in us."""


def board_options(name: str, at_us: int, period_us: int) -> list[str]:
    """Return the firmware's options for the fault `name` at this time of its clock, in us."""
    return ["--fault-at-us", str(at_us), "--fault", *BOARD_FAULTS[name](period_us)]
