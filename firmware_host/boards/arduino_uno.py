"""Arduino Uno and Nano: a real ATmega328P, with 32 KB of flash and 2 KB of RAM."""

from __future__ import annotations

from typing import Final

from sparsectl.firmware_host.boards.avr import DEAF_CYCLES, EDGE_CYCLES, WATCHDOG
from sparsectl.firmware_host.boards.microcontroller import COMMON, PORTS, Microcontroller
from sparsectl.firmware_host.cores.atmega328p import ATMEGA328P
from sparsectl.firmware_host.emulators.simavr import Simavr
from sparsectl.firmware_host.programmers import Avrdude

ARDUINO_UNO: Final = Microcontroller(
    name="arduino-uno",
    core=ATMEGA328P,
    port=PORTS / "arduino-uno",
    clock_hz=16_000_000,
    timer_hz=2_000_000,
    flash_bytes=(32 << 10) - 512,  # the boot loader has the rest
    ram_bytes=2 << 10,
    stack_bytes=752,
    baud=250_000,
    watchdog=WATCHDOG,
    second_clock="the watchdog's oscillator",
    edge_cycles=EDGE_CYCLES,
    deaf_cycles=DEAF_CYCLES,
    shared=(COMMON / "avr" / "board.c",),
    extra_flags=("-Os",),
    link_flags=("-Wl,--gc-sections", "-Wl,--relax"),  # short calls: a policy fills the flash
    images=("hex",),
    emulator=Simavr("atmega328p", clock_hz=16_000_000, encoders="D2"),
    programmer=Avrdude(part="atmega328p", protocol="arduino", baud=115_200),
)
