"""simavr emulates AVR chips cycle by cycle; a small program of ours drives its library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparsectl.firmware_host.compiler import find_compiler
from sparsectl.firmware_host.cores.core import FIRMWARE
from sparsectl.firmware_host.cores.host import HOST
from sparsectl.firmware_host.simavr_program import write_simavr_program
from sparsectl.firmware_host.tools import find_tool

SOURCE: Final = FIRMWARE / "emulation" / "simavr_bridge.c"


@dataclass(frozen=True)
class Simavr:
    """An AVR chip in simavr; see `Emulator`."""

    chip: str
    clock_hz: int
    encoders: str
    """Port and first pin of the encoders, for whoever turns them: see simavr_bridge.c."""

    @property
    def tools(self) -> tuple[str, ...]:
        return ("simavr",)

    @property
    def note(self) -> str:
        return "cycles are exact (simavr)"

    def command(self, elf: Path, scratch: Path) -> list[str]:
        """Compile the program that connects simavr's serial line to a pty, and return its command.

        Raises:
            UserError: no simavr, or no compiler of this machine.
        """
        find_tool("simavr")
        program = scratch / "simavr_bridge"
        write_simavr_program(find_compiler(HOST), SOURCE, program)
        return [str(program), self.chip, str(self.clock_hz), str(elf), self.encoders]

    def instructions(self, seconds: float) -> int | None:
        """Return None: simavr counts cycles, which say more."""
        return None
