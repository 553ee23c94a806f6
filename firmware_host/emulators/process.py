"""Run the host board's firmware, which needs no emulator: it is a process of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """The firmware as a process; see `Emulator`."""

    tools: tuple[str, ...] = ()
    note: str = "this machine's own clock"

    def command(self, elf: Path, scratch: Path) -> list[str]:
        """Return the process itself."""
        return [str(elf)]

    def instructions(self, seconds: float) -> int | None:
        """Return None: a clock counts no instructions."""
        return None
