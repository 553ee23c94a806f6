"""Cortex-M3, which has no FPU; it multiplies and divides integers in hardware."""

from __future__ import annotations

from sparsectl.firmware_host.cores.cortex_m import CortexM
from sparsectl.firmware_host.cores.cortex_m3_cycles import CORTEX_M3_CYCLES

CORTEX_M3 = CortexM(
    name="cortex-m3",
    architecture_flags=("-mcpu=cortex-m3", "-mthumb"),
    clock_hz=72_000_000,
    model=CORTEX_M3_CYCLES,
    unicorn_model="CORTEX_M3",
    qemu_machine="mps2-an385",
)
