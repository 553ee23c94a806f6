"""SiFive HiFive1, first version: a real RV32IMAC (FE310-G000)."""

from __future__ import annotations

from typing import Final

from sparsectl.firmware_host.boards.microcontroller import PORTS, Microcontroller, own_link_flags
from sparsectl.firmware_host.boards.watchdog import Watchdog
from sparsectl.firmware_host.cores.rv32imac import RV32IMAC
from sparsectl.firmware_host.emulators.qemu import Qemu
from sparsectl.firmware_host.programmers import OpenOcd

_PORT: Final = PORTS / "hifive1"

HIFIVE1: Final = Microcontroller(
    name="hifive1",
    core=RV32IMAC,
    port=_PORT,
    clock_hz=16_000_000,
    timer_hz=16_000_000,
    flash_bytes=12 << 20,
    ram_bytes=16 << 10,
    stack_bytes=2048,
    baud=230_400,
    watchdog=Watchdog(
        oscillator="LFROSC, a ring oscillator",
        slowest_hz=20e3,  # nominally 32 kHz, untrimmed
        fastest_hz=45e3,
        divisors=tuple(1 << scale for scale in range(16)),
        most_counts=65_535,
    ),
    second_clock="mtime, of the low-frequency clock",
    link_flags=own_link_flags(_PORT),
    images=("hex",),
    # mcycle counts nanoseconds of QEMU's time: one an instruction, as if each took a cycle
    emulator=Qemu("qemu-system-riscv32", "sifive_e", ns_shift=0, counts_at_hz=16_000_000),
    programmer=OpenOcd(config="board/sifive-hifive1.cfg"),
)
