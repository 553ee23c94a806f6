"""RV32IMAFC, with the single-precision FPU."""

from __future__ import annotations

from sparsectl.firmware_host.cores.riscv import RiscV

RV32IMAFC = RiscV(
    "rv32imafc", ("-march=rv32imafc", "-misa-spec=2.2", "-mabi=ilp32f", "-mcmodel=medany")
)
