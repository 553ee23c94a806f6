"""The Cortex-M family: compiled by GCC for Arm, run and counted by Unicorn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sparsectl.firmware_host.cores.core import C_FLAGS, Float32, Measurement
from sparsectl.firmware_host.cores.cycle_model import CycleModel
from sparsectl.firmware_host.tools import TOOLS


@dataclass(frozen=True)
class CortexM:
    """A Cortex-M core; see `Core`."""

    name: str
    architecture_flags: tuple[str, ...]
    clock_hz: int
    model: CycleModel
    """The cost of each instruction in cycles."""
    unicorn_model: str
    """The end of Unicorn's UC_CPU_ARM_… name."""
    qemu_machine: str
    """A machine of QEMU with this core, or with one that runs its code, for a second opinion."""
    compilers: tuple[str, ...] = ("arm-none-eabi-gcc",)
    flash_bytes: int | None = None
    ram_bytes: int | None = None

    @property
    def compiler_package(self) -> str:
        return TOOLS["arm-none-eabi-gcc"]

    @property
    def flags(self) -> tuple[str, ...]:
        return (*self.architecture_flags, *C_FLAGS)

    def measure(self, policy: Path, folder: Path, observations: Float32, runs: int) -> Measurement:
        """Measure by an exact trace of instructions and the cycles of the manual."""
        from sparsectl.firmware_host.cores.cortex_m_measuring import measure

        return measure(self, self.model, self.unicorn_model, policy, folder, observations)

    def run(self, policy: Path, folder: Path, observations: Float32) -> Float32:
        """Run in Unicorn, without a trace."""
        from sparsectl.firmware_host.cores.cortex_m_measuring import run

        return run(self, self.unicorn_model, policy, folder, observations)
