"""The host as a board: the firmware is a process of this machine, its serial line a pty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.boards.watchdog import Watchdog
from sparsectl.firmware_host.cores import Core
from sparsectl.firmware_host.cores.host import HOST
from sparsectl.firmware_host.emulators.emulator import Emulator
from sparsectl.firmware_host.emulators.process import Process
from sparsectl.firmware_host.programmers import Programmer


@dataclass(frozen=True)
class HostBoard:
    """The board `host`; see `Board`."""

    name: str = "host"
    core: Core = HOST
    port: Path = FIRMWARE / "ports" / "host"
    timer_hz: int = 1_000_000_000
    clock_hz: int | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    stack_bytes: int = 0
    watchdog: Watchdog | None = None
    """It has one, in software: ports/host/watchdog.c."""
    second_clock: str = "CLOCK_MONOTONIC_RAW"
    edge_cycles: int | None = None
    counter_bits: int | None = None
    deaf_cycles: int = 0
    baud: int = 230_400
    images: tuple[str, ...] = ()
    link_flags: tuple[str, ...] = ()
    emulator: Emulator | None = Process()
    programmer: Programmer | None = None

    @property
    def compilers(self) -> tuple[str, ...]:
        return self.core.compilers

    @property
    def compiler_package(self) -> str:
        return self.core.compiler_package

    @property
    def flags(self) -> tuple[str, ...]:
        return self.core.flags

    @property
    def sources(self) -> tuple[Path, ...]:
        return tuple(sorted(self.port.glob("*.c")))

    @property
    def includes(self) -> tuple[Path, ...]:
        return (self.port,)
