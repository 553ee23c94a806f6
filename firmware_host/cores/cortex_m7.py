"""Cortex-M7, with the single-precision FPU."""

from __future__ import annotations

from sparsectl.firmware_host.cores.cortex_m import CortexM
from sparsectl.firmware_host.cores.cortex_m7_cycles import CortexM7Cycles

CORTEX_M7 = CortexM(
    name="cortex-m7",
    architecture_flags=("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
    clock_hz=216_000_000,
    model=CortexM7Cycles(),
    unicorn_model="CORTEX_M7",
    qemu_machine="mps2-an500",
)
