"""QEMU's system emulators, whose time is bound to instructions so that timers count them
exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sparsectl.firmware_host.tools import find_tool


@dataclass(frozen=True)
class Qemu:
    """One of QEMU's machines; see `Emulator`."""

    program: str
    """qemu-system-…"""
    machine: str
    ns_shift: int
    """One instruction takes 2^ns_shift ns of emulated time, about as long as on the chip."""
    counts_at_hz: int | None = None
    """If the firmware's timer counts instructions: the rate that the firmware assumes."""
    serial: int = 0
    """Index of the machine's serial line."""

    @property
    def tools(self) -> tuple[str, ...]:
        return (self.program,)

    @property
    def note(self) -> str:
        return "instructions are exact (QEMU); it has no model of cycles, caches or flash waits"

    def command(self, elf: Path, scratch: Path) -> list[str]:
        """Return the command of QEMU, which prints the pty when it starts; sleep=on lets an idle
        core idle."""
        return [
            find_tool(self.program),
            *("-machine", self.machine, "-kernel", str(elf), "-bios", "none"),
            *("-icount", f"shift={self.ns_shift},sleep=on"),
            *("-display", "none", "-monitor", "none"),
            *("-serial", "null") * self.serial,
            *("-serial", "pty"),
        ]

    def instructions(self, seconds: float) -> int | None:
        """Return the instructions, which are exact up to the resolution of the firmware's timer."""
        if self.counts_at_hz is not None:
            return round(seconds * self.counts_at_hz)
        return round(seconds * 1e9 / (1 << self.ns_shift))
