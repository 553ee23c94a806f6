"""RV32IMAC, such as the FE310, which has no FPU; every float operation is a call."""

from __future__ import annotations

from sparsectl.firmware_host.cores.riscv import RiscV

RV32IMAC = RiscV(
    "rv32imac", ("-march=rv32imac", "-misa-spec=2.2", "-mabi=ilp32", "-mcmodel=medany")
)
