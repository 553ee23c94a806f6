"""32-bit RISC-V cores, compiled by GCC and run by QEMU, which counts instructions and not
cycles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sparsectl.firmware_host.cores.core import C_FLAGS, Float32, Measurement
from sparsectl.firmware_host.tools import TOOLS


@dataclass(frozen=True)
class RiscV:
    """A RISC-V core; see `Core`."""

    name: str
    architecture_flags: tuple[str, ...]
    clock_hz: int | None = None
    compilers: tuple[str, ...] = ("riscv64-unknown-elf-gcc",)
    flash_bytes: int | None = None
    ram_bytes: int | None = None

    @property
    def compiler_package(self) -> str:
        return TOOLS["riscv64-unknown-elf-gcc"]

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the compiler's flags. -msave-restore stays off, because its calls cost what they
        save."""
        return (*self.architecture_flags, "--specs=picolibc.specs", *C_FLAGS)

    def measure(self, policy: Path, folder: Path, observations: Float32, runs: int) -> Measurement:
        """Measure by the count of retired instructions, which is exact under QEMU's -icount."""
        from sparsectl.firmware_host.cores.riscv_measuring import measure

        return measure(self, policy, folder, observations)

    def run(self, policy: Path, folder: Path, observations: Float32) -> Float32:
        """Run in QEMU, which need not count."""
        from sparsectl.firmware_host.cores.riscv_measuring import run

        return run(self, policy, folder, observations)
