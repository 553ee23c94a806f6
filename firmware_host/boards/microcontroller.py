"""A board with a microcontroller: all that differs is data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.boards.watchdog import Watchdog
from sparsectl.firmware_host.cores import Core
from sparsectl.firmware_host.emulators.emulator import Emulator
from sparsectl.firmware_host.programmers import Programmer

PORTS: Final = FIRMWARE / "ports"
COMMON: Final = PORTS / "common"

_SECTIONS: Final = ("-ffunction-sections", "-fdata-sections")


@dataclass(frozen=True)
class Microcontroller:
    """A board with a microcontroller; see `Board`. Its port consists of the board's own folder and
    of folders that it shares with other boards."""

    name: str
    core: Core
    port: Path
    """Folder of the board's own part: board_config.h, its C sources, maybe board.ld."""
    clock_hz: int | None
    timer_hz: int
    flash_bytes: int | None
    ram_bytes: int | None
    stack_bytes: int
    baud: int
    watchdog: Watchdog | None = None
    second_clock: str = ""
    edge_cycles: int | None = None
    counter_bits: int | None = None
    deaf_cycles: int = 0
    shared: tuple[Path, ...] = ()
    """Sources of ports/common/ that it takes beside the port for all microcontrollers."""
    extra_flags: tuple[str, ...] = ()
    link_flags: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    emulator: Emulator | None = None
    programmer: Programmer | None = None

    @property
    def compilers(self) -> tuple[str, ...]:
        return self.core.compilers

    @property
    def compiler_package(self) -> str:
        return self.core.compiler_package

    @property
    def flags(self) -> tuple[str, ...]:
        return (*self.core.flags, *_SECTIONS, *self.extra_flags)

    @property
    def sources(self) -> tuple[Path, ...]:
        own = (*self.port.glob("*.c"), *self.port.glob("*.S"))
        return (*sorted(COMMON.glob("*.c")), *self.shared, *sorted(own))

    @property
    def includes(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((self.port, COMMON, *(path.parent for path in self.shared))))


def own_link_flags(port: Path, *folders: Path) -> tuple[str, ...]:
    """Return flags for our start-up code and the port's `board.ld`; `folders` hold what that
    includes."""
    search = (f"-L{folder}" for folder in folders)
    return ("-nostartfiles", *search, f"-T{port / 'board.ld'}", "-Wl,--gc-sections")
