"""Arduino Mega 2560: a real ATmega2560, with 256 KB of flash and 8 KB of RAM."""

from __future__ import annotations

from typing import Final

from sparsectl.firmware_host.boards.avr import DEAF_CYCLES, EDGE_CYCLES, WATCHDOG
from sparsectl.firmware_host.boards.microcontroller import COMMON, PORTS, Microcontroller
from sparsectl.firmware_host.cores.atmega2560 import ATMEGA2560
from sparsectl.firmware_host.emulators.simavr import Simavr
from sparsectl.firmware_host.programmers import Avrdude

ARDUINO_MEGA2560: Final = Microcontroller(
    name="arduino-mega2560",
    core=ATMEGA2560,
    port=PORTS / "arduino-mega2560",
    clock_hz=16_000_000,
    timer_hz=2_000_000,
    flash_bytes=(256 << 10) - 8192,  # the boot loader has the rest
    ram_bytes=8 << 10,
    stack_bytes=896,
    baud=250_000,
    watchdog=WATCHDOG,
    second_clock="the watchdog's oscillator",
    edge_cycles=EDGE_CYCLES,
    deaf_cycles=DEAF_CYCLES,
    shared=(COMMON / "avr" / "board.c",),
    extra_flags=("-Os",),
    link_flags=("-Wl,--gc-sections",),
    images=("hex",),
    emulator=Simavr("atmega2560", clock_hz=16_000_000, encoders="B0"),
    programmer=Avrdude(part="atmega2560", protocol="wiring", baud=115_200),
)
