"""The host as a board: the firmware is a process of this machine, its serial line a pty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firmware_host.boards.board import FIRMWARE, Timing


@dataclass(frozen=True)
class HostBoard:
    """See `Board`."""

    name: str = "host"
    compilers: tuple[str, ...] = ("gcc", "clang", "cc")
    compiler_package: str = "gcc"
    flags: tuple[str, ...] = ("-std=c99", "-O2", "-g", "-ffp-contract=off", "-D_GNU_SOURCE")
    port: Path = FIRMWARE / "ports" / "host"
    timer_hz: int = 1_000_000_000
    clock_hz: int | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None

    def run_command(self, elf: Path) -> list[str]:
        """The process itself."""
        return [str(elf)]

    def time_policy(self, policy: Path, folder: Path, runs: int) -> Timing:
        """By the machine's own clock; see `firmware_host.boards.host_timing`."""
        from firmware_host.boards.host_timing import time_policy

        return time_policy(self, policy, folder, runs)
