"""Arm's MPS2 FPGA board with image AN386: a Cortex-M4F that QEMU knows well."""

from __future__ import annotations

from typing import Final

from sparsectl.firmware_host.boards.cortex_m import STARTUP, SYSTICK, link_flags
from sparsectl.firmware_host.boards.microcontroller import PORTS, Microcontroller
from sparsectl.firmware_host.boards.watchdog import Watchdog
from sparsectl.firmware_host.cores.cortex_m4f import CORTEX_M4F
from sparsectl.firmware_host.emulators.qemu import Qemu

_PORT: Final = PORTS / "mps2-an386"

MPS2_AN386: Final = Microcontroller(
    name="mps2-an386",
    core=CORTEX_M4F,
    port=_PORT,
    clock_hz=25_000_000,
    timer_hz=25_000_000,
    flash_bytes=4 << 20,
    ram_bytes=4 << 20,
    stack_bytes=2048,
    baud=230_400,
    watchdog=Watchdog(
        oscillator="the 25 MHz clock",
        slowest_hz=25e6,
        fastest_hz=25e6,
        divisors=(1,),
        most_counts=2**32 - 1,
        time_outs=2,  # the first one interrupts
        patience=10,
    ),
    shared=(*STARTUP, SYSTICK),
    link_flags=link_flags(_PORT),
    emulator=Qemu("qemu-system-arm", "mps2-an386", ns_shift=5),
)
