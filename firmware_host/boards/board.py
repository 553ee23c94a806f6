"""What the host must know of a board to build for it, run it, flash it and measure on it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sparsectl.firmware_host.boards.watchdog import Watchdog
from sparsectl.firmware_host.cores.core import FIRMWARE, WARNINGS, Core, ToolChain
from sparsectl.firmware_host.emulators.emulator import Emulator
from sparsectl.firmware_host.programmers import Programmer

__all__ = ["FIRMWARE", "WARNINGS", "Board"]


class Board(ToolChain, Protocol):
    """A board in the registry. All paths are absolute; compilers are its core's."""

    @property
    def name(self) -> str:
        """At most 16 ASCII characters; HELLO carries it."""

    @property
    def core(self) -> Core:
        """The processor; `bench` measures policies on it."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """C and assembly of the port."""

    @property
    def includes(self) -> tuple[Path, ...]:
        """Folders of the port's headers."""

    @property
    def link_flags(self) -> tuple[str, ...]:
        """Flags for linking alone: the linker script and where it is."""

    @property
    def timer_hz(self) -> int:
        """Rate of port_timer(), in Hz."""

    @property
    def clock_hz(self) -> int | None:
        """Clock of the processor in Hz; None where it is not fixed."""

    @property
    def flash_bytes(self) -> int | None:
        """Flash there is for a program, in bytes; None where it does not matter."""

    @property
    def ram_bytes(self) -> int | None:
        """RAM there is, in bytes; None where it does not matter."""

    @property
    def stack_bytes(self) -> int:
        """Stack that the firmware itself needs, at the deepest, in bytes."""

    @property
    def watchdog(self) -> Watchdog | None:
        """What restarts it when no control tick comes; None where its port has none to set."""

    @property
    def second_clock(self) -> str:
        """What its ticks are compared with, for the reader; empty where there is nothing."""

    @property
    def edge_cycles(self) -> int | None:
        """The most cycles that an edge of an encoder takes from the processor; None where a timer
        counts them, or there are none."""

    @property
    def deaf_cycles(self) -> int:
        """The most cycles for which anything else holds the interrupt of an edge off."""

    @property
    def baud(self) -> int:
        """Speed of its serial line, in bits a second."""

    @property
    def images(self) -> tuple[str, ...]:
        """Forms beside ELF that its tools want: hex, bin."""

    @property
    def emulator(self) -> Emulator | None:
        """What runs its firmware here; None where nothing does."""

    @property
    def programmer(self) -> Programmer | None:
        """What writes its flash; None where there is none."""
