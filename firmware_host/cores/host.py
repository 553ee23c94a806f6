"""This machine: time by its clock, and instructions by valgrind if that is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sparsectl.firmware_host.cores.core import C_FLAGS, Float32, Measurement


@dataclass(frozen=True)
class Host:
    """The core of this machine; see `Core`."""

    name: str = "host"
    compilers: tuple[str, ...] = ("gcc", "clang", "cc")
    compiler_package: str = "gcc"
    flags: tuple[str, ...] = (*C_FLAGS, "-D_GNU_SOURCE")
    clock_hz: int | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None

    def measure(self, policy: Path, folder: Path, observations: Float32, runs: int) -> Measurement:
        """Measure by the machine's own clock."""
        from sparsectl.firmware_host.cores.host_measuring import measure

        return measure(self, policy, folder, observations, runs)

    def run(self, policy: Path, folder: Path, observations: Float32) -> Float32:
        """Run on this machine, without a profile."""
        from sparsectl.firmware_host.cores.host_measuring import run

        return run(self, policy, folder, observations)


HOST = Host()
