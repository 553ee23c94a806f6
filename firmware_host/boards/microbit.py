"""BBC micro:bit, first version: a real Cortex-M0 (nRF51822)."""

from __future__ import annotations

from typing import Final

from sparsectl.firmware_host.boards.cortex_m import STARTUP, link_flags
from sparsectl.firmware_host.boards.microcontroller import PORTS, Microcontroller
from sparsectl.firmware_host.boards.watchdog import Watchdog
from sparsectl.firmware_host.cores.cortex_m0 import CORTEX_M0
from sparsectl.firmware_host.emulators.qemu import Qemu
from sparsectl.firmware_host.programmers import UsbDrive

_PORT: Final = PORTS / "microbit"

MICROBIT: Final = Microcontroller(
    name="microbit",
    core=CORTEX_M0,
    port=_PORT,
    clock_hz=16_000_000,
    timer_hz=16_000_000,
    flash_bytes=256 << 10,
    ram_bytes=16 << 10,
    stack_bytes=2048,
    baud=115_200,
    watchdog=Watchdog(
        oscillator="32 kHz RC",
        slowest_hz=32_768 * 0.95,  # 2 % by the manual, uncalibrated a little more
        fastest_hz=32_768 * 1.05,
        divisors=(1,),
        most_counts=2**32 - 1,
    ),
    second_clock="RTC 1, of the 32 kHz RC",
    shared=STARTUP,
    link_flags=link_flags(_PORT),
    images=("hex",),
    emulator=Qemu("qemu-system-arm", "microbit", ns_shift=6),
    programmer=UsbDrive(label="MICROBIT", details="DETAILS.TXT"),
)
