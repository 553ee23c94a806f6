"""The host as a board: the firmware is a process of this machine, its serial line a pty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firmware_host.boards.board import FIRMWARE
from firmware_host.cores import Core
from firmware_host.cores.host import HOST


@dataclass(frozen=True)
class HostBoard:
    """See `Board`."""

    name: str = "host"
    core: Core = HOST
    port: Path = FIRMWARE / "ports" / "host"
    timer_hz: int = 1_000_000_000
    clock_hz: int | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None

    @property
    def compilers(self) -> tuple[str, ...]:
        return self.core.compilers

    @property
    def compiler_package(self) -> str:
        return self.core.compiler_package

    @property
    def flags(self) -> tuple[str, ...]:
        return self.core.flags

    def run_command(self, elf: Path) -> list[str]:
        """The process itself."""
        return [str(elf)]
