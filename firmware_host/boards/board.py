"""What the host must know of a board to build for it, run it and measure on it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from firmware_host.cores.core import FIRMWARE, WARNINGS, Core, ToolChain

__all__ = ["FIRMWARE", "WARNINGS", "Board"]


class Board(ToolChain, Protocol):
    """A board in the registry. All paths are absolute; compilers and flags are its core's."""

    @property
    def name(self) -> str:
        """At most 15 ASCII characters; HELLO carries it."""

    @property
    def core(self) -> Core:
        """The processor; `bench` measures policies on it."""

    @property
    def port(self) -> Path:
        """Folder of the port: its C sources are all compiled."""

    @property
    def timer_hz(self) -> int:
        """Rate of port_timer(), in Hz."""

    @property
    def clock_hz(self) -> int | None:
        """Clock of the processor in Hz; None where it is not fixed."""

    @property
    def flash_bytes(self) -> int | None:
        """Flash there is, in bytes; None where it does not matter."""

    @property
    def ram_bytes(self) -> int | None:
        """RAM there is, in bytes; None where it does not matter."""

    def run_command(self, elf: Path) -> list[str]:
        """The command that runs a firmware: the board's emulator, or the process itself."""
