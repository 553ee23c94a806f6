"""STM32F405 boards (Olimex STM32-H405, Adafruit Feather, Netduino Plus 2): a real Cortex-M4F."""

from __future__ import annotations

from typing import Final

from sparsectl.firmware_host.boards.cortex_m import (
    STARTUP,
    STM32F4,
    STM32F4_COUNTER_BITS,
    STM32F4_WATCHDOG,
    SYSTICK,
    link_flags,
)
from sparsectl.firmware_host.boards.microcontroller import PORTS, Microcontroller
from sparsectl.firmware_host.cores.cortex_m4f import CORTEX_M4F
from sparsectl.firmware_host.emulators.qemu import Qemu
from sparsectl.firmware_host.programmers import StFlash

_PORT: Final = PORTS / "stm32f405"

STM32F405: Final = Microcontroller(
    name="stm32f405",
    core=CORTEX_M4F,
    port=_PORT,
    clock_hz=168_000_000,
    timer_hz=168_000_000,
    flash_bytes=1 << 20,
    ram_bytes=128 << 10,
    stack_bytes=2048,
    baud=230_400,
    watchdog=STM32F4_WATCHDOG,
    second_clock="timer 5, of the same crystal",
    counter_bits=STM32F4_COUNTER_BITS,
    shared=(*STARTUP, SYSTICK, *STM32F4),
    link_flags=link_flags(_PORT),
    images=("bin",),
    emulator=Qemu("qemu-system-arm", "netduinoplus2", ns_shift=3),
    programmer=StFlash(address=0x0800_0000),
)
