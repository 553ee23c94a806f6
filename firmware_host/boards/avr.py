"""The parts that the boards with an AVR share; their C is in ports/common/avr/board.c."""

from __future__ import annotations

from typing import Final

from sparsectl.firmware_host.boards.watchdog import Watchdog

WATCHDOG: Final = Watchdog(
    oscillator="128 kHz RC of its own",
    # the data sheet's typical curves, over supply and temperature, and a tenth more
    slowest_hz=100e3,
    fastest_hz=140e3,
    divisors=(2048,),
    most_counts=255,
    free_running=True,
)

EDGE_CYCLES: Final = 104
"""Measured in simavr (98 on the ATmega328P), where each edge takes its longest way."""
DEAF_CYCLES: Final = 160
"""Likewise (153 on the ATmega2560): a byte of the serial line."""
