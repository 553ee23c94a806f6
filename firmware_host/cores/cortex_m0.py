"""Cortex-M0, which has no FPU and no division; every float operation is a call."""

from __future__ import annotations

from sparsectl.firmware_host.cores.cortex_m import CortexM
from sparsectl.firmware_host.cores.cortex_m0_cycles import CortexM0Cycles

CORTEX_M0 = CortexM(
    name="cortex-m0",
    architecture_flags=("-mcpu=cortex-m0", "-mthumb"),
    clock_hz=48_000_000,
    model=CortexM0Cycles(),
    unicorn_model="CORTEX_M0",
    qemu_machine="mps2-an385",
)
