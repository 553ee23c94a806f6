"""What the host needs to know about a board to build for it, run it, flash it and measure on it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sparsectl.firmware_host.boards.watchdog import Watchdog
from sparsectl.firmware_host.cores.core import FIRMWARE, WARNINGS, Core, ToolChain
from sparsectl.firmware_host.emulators.emulator import Emulator
from sparsectl.firmware_host.programmers import Programmer

__all__ = ["FIRMWARE", "WARNINGS", "Board"]


class Board(ToolChain, Protocol):
    """A board in the registry. All paths are absolute; the compilers are those of its core."""

    @property
    def name(self) -> str:
        """Name of at most 16 ASCII characters, which HELLO carries."""

    @property
    def core(self) -> Core:
        """The processor; `bench` measures policies on it."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """C and assembly sources of the port."""

    @property
    def includes(self) -> tuple[Path, ...]:
        """Folders of the port's headers."""

    @property
    def link_flags(self) -> tuple[str, ...]:
        """Flags for linking only: the linker script and its folder."""

    @property
    def timer_hz(self) -> int:
        """Rate of port_timer(), in Hz."""

    @property
    def clock_hz(self) -> int | None:
        """Clock of the processor in Hz; None: not fixed."""

    @property
    def flash_bytes(self) -> int | None:
        """Flash for the program, in bytes; None: no limit."""

    @property
    def ram_bytes(self) -> int | None:
        """RAM, in bytes; None: no limit."""

    @property
    def stack_bytes(self) -> int:
        """The deepest stack of the firmware itself, in bytes."""

    @property
    def watchdog(self) -> Watchdog | None:
        """The watchdog, which restarts the board if no control tick comes; None: its port sets
        none."""

    @property
    def second_clock(self) -> str:
        """The second clock that its ticks are compared with, in words; empty: there is none."""

    @property
    def edge_cycles(self) -> int | None:
        """The most cycles that the processor needs for an encoder's edge; None: a timer counts
        edges, or there are none."""

    @property
    def counter_bits(self) -> int | None:
        """The width of the timers that count the encoders' edges; None: no timer does."""

    @property
    def deaf_cycles(self) -> int:
        """The most cycles for which anything else delays the interrupt of an edge."""

    @property
    def baud(self) -> int:
        """Speed of its serial line, in bits per second."""

    @property
    def images(self) -> tuple[str, ...]:
        """Formats besides ELF that its tools need: hex, bin."""

    @property
    def emulator(self) -> Emulator | None:
        """The emulator that runs its firmware here; None: there is none."""

    @property
    def programmer(self) -> Programmer | None:
        """The programmer that writes its flash; None: there is none."""
