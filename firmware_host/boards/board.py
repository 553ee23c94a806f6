"""What the host must know of a board to build for it, run it and measure on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

FIRMWARE: Final = Path(__file__).parent.parent / "firmware"
"""The C sources: core/, port.h, ports/, bench/."""

WARNINGS: Final = ("-Wall", "-Wextra", "-Wdouble-promotion", "-Wfloat-conversion")
"""Of the generated policy too; our own sources take -Wconversion besides."""


@dataclass(frozen=True)
class Timing:
    """What one call of the policy costs; None where the board cannot tell."""

    cycles: int | None
    cycles_kind: str | None
    """exact or modelled; None without cycles."""
    instructions: int | None
    microseconds: float
    """Of the fastest call."""
    median_microseconds: float | None
    max_abs_error: float
    """Over the golden vectors, as the compiled policy computes them."""
    note: str
    """What the figures are and are not, one sentence."""


class Board(Protocol):
    """A board in the registry. All paths are absolute."""

    @property
    def name(self) -> str:
        """At most 15 ASCII characters; HELLO carries it."""

    @property
    def compilers(self) -> tuple[str, ...]:
        """C compilers that will do, best first."""

    @property
    def compiler_package(self) -> str:
        """How to get one: a Debian package."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags for compiling and linking."""

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

    def time_policy(self, policy: Path, folder: Path, runs: int) -> Timing:
        """Measure the policy in the folder `policy`; `folder` is for what that takes.

        Raises:
            UserError: a tool is missing, or the policy does not compile.
        """
