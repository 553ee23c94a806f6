"""8-bit AVR chips: compiled by avr-gcc, run by simavr, which counts cycles exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sparsectl.firmware_host.cores.core import C_FLAGS, Float32, Measurement
from sparsectl.firmware_host.tools import TOOLS


@dataclass(frozen=True)
class Avr:
    """An AVR chip; see `Core`. Its name is that of the chip in avr-gcc and simavr."""

    name: str
    flash_bytes: int
    ram_bytes: int
    clock_hz: int = 16_000_000
    compilers: tuple[str, ...] = ("avr-gcc",)

    @property
    def compiler_package(self) -> str:
        return TOOLS["avr-gcc"]

    @property
    def flags(self) -> tuple[str, ...]:
        return (f"-mmcu={self.name}", *C_FLAGS, "-gdwarf-2")  # its -g says nothing of inlining

    def measure(self, policy: Path, folder: Path, observations: Float32, runs: int) -> Measurement:
        """Measure by simavr's cycles, which are those of the chip."""
        from sparsectl.firmware_host.cores.avr_measuring import measure

        return measure(self, policy, folder, observations)

    def run(self, policy: Path, folder: Path, observations: Float32) -> Float32:
        """Run in simavr, which always counts."""
        from sparsectl.firmware_host.cores.avr_measuring import run

        return run(self, policy, folder, observations)
