"""The host board's firmware needs no emulator: it is a process of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """See `Emulator`."""

    tools: tuple[str, ...] = ()
    note: str = "this machine's own clock"

    def command(self, elf: Path, scratch: Path) -> list[str]:
        """The process itself."""
        return [str(elf)]

    def instructions(self, seconds: float) -> int | None:
        """A clock counts none."""
        return None
