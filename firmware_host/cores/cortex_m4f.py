"""Cortex-M4F, which has a single-precision FPU."""

from __future__ import annotations

from sparsectl.firmware_host.cores.cortex_m import CortexM
from sparsectl.firmware_host.cores.cortex_m3_cycles import CORTEX_M4_CYCLES

CORTEX_M4F = CortexM(
    name="cortex-m4f",
    architecture_flags=("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    clock_hz=168_000_000,
    model=CORTEX_M4_CYCLES,
    unicorn_model="CORTEX_M4",
    qemu_machine="mps2-an386",
)
