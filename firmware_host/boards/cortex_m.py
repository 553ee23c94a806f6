"""What the boards with a Cortex-M share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparsectl.firmware_host.boards.microcontroller import COMMON, own_link_flags

STARTUP: Final = COMMON / "cortex_m" / "startup.c"
SYSTICK: Final = COMMON / "cortex_m" / "systick.c"
STM32F4: Final = COMMON / "stm32f4" / "board.c"


def link_flags(port: Path) -> tuple[str, ...]:
    """With the sections that all of them have."""
    return own_link_flags(port, STARTUP.parent)
