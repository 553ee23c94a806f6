"""What the boards with a Cortex-M share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparsectl.firmware_host.boards.microcontroller import COMMON, own_link_flags
from sparsectl.firmware_host.boards.watchdog import Watchdog

STARTUP: Final = COMMON / "cortex_m" / "startup.c"
SYSTICK: Final = COMMON / "cortex_m" / "systick.c"
STM32F4: Final = COMMON / "stm32f4" / "board.c"

STM32F4_WATCHDOG: Final = Watchdog(
    oscillator="LSI, an RC of its own",
    slowest_hz=17e3,  # the data sheet's least and most
    fastest_hz=47e3,
    divisors=(4, 8, 16, 32, 64, 128, 256),
    most_counts=4095,
)


def link_flags(port: Path) -> tuple[str, ...]:
    """With the sections that all of them have."""
    return own_link_flags(port, STARTUP.parent)
