"""The parts that the boards with a Cortex-M share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparsectl.firmware_host.boards.microcontroller import COMMON, own_link_flags
from sparsectl.firmware_host.boards.watchdog import Watchdog

CORTEX_M: Final = COMMON / "cortex_m"
STARTUP: Final = tuple(CORTEX_M / f"{part}.c" for part in ("startup", "fault", "nap"))
SYSTICK: Final = CORTEX_M / "systick.c"
STM32F4: Final = tuple(COMMON / "stm32f4" / f"{part}.c" for part in ("board", "vectors"))

STM32F4_WATCHDOG: Final = Watchdog(
    oscillator="LSI, an RC of its own",
    slowest_hz=17e3,  # the data sheet's least and most
    fastest_hz=47e3,
    divisors=(4, 8, 16, 32, 64, 128, 256),
    most_counts=4095,
)

STM32F4_COUNTER_BITS: Final = 16
"""What the firmware reads of a timer that counts edges; some of them have 32."""


def link_flags(port: Path) -> tuple[str, ...]:
    """Return the flags for linking, with the sections that all of these boards have."""
    return own_link_flags(port, CORTEX_M)
