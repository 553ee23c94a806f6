"""Timing of the Cortex-M3 and the Cortex-M4F.

ARM DDI 0337I table 3-1 and section 3.3.2 (M3); ARM 100166 (r0p1) table 3-1, section 3.3.2 and,
for the FPU, table 7-1 (M4). The manuals leave some choices, which are made here so:

* refilling the pipeline takes P = 2 cycles (the manuals: 1 to 3, by the target's alignment);
* what depends on the operands takes the most: division 12; on the M3 long products 5 and 7;
* an IT instruction takes its cycle (it may be folded away);
* VLDR and VSTR follow a load as LDR and STR do;
* no wait states, no contention of literal loads with the fetch, no full write buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sparsectl.firmware_host.cores.cycle_model import Outcome
from sparsectl.firmware_host.cores.thumb import Instruction

REFILL: Final = 2
_LISTS: Final = ("ldm", "stm", "push", "pop", "vldm", "vstm", "vpush", "vpop")
_FLOAT_ARITHMETIC: Final = ("vadd", "vsub", "vmul", "vnmul", "vdiv", "vsqrt", "vcvt") + (
    "vmla",
    "vmls",
    "vnmla",
    "vnmls",
    "vfma",
    "vfms",
    "vfnma",
    "vfnms",
)
_FLOAT_CYCLES: Final = {"vdiv": 14, "vsqrt": 14} | {
    name: 3 for name in _FLOAT_ARITHMETIC if name.startswith(("vmla", "vmls", "vnml", "vf"))
}


@dataclass(frozen=True)
class CortexM3Cycles:
    """The timing of both cores; see `CycleModel`."""

    multiplies: dict[str, int]
    """Operations that differ between M3 and M4."""
    source: str

    def cycles(
        self, before: Sequence[Instruction], instruction: Instruction, outcome: Outcome
    ) -> int:
        if outcome is Outcome.SKIPPED:
            return 1
        cycles = self._alone(instruction, before[-1] if before else None)
        if outcome is Outcome.TAKEN:
            cycles += REFILL
        return cycles + (_stall(before[-1], instruction) if before else 0)

    def _alone(self, instruction: Instruction, before: Instruction | None) -> int:
        operation = instruction.operation
        if operation.startswith(_LISTS):
            return 1 + instruction.list_length
        if instruction.is_load or instruction.is_store:
            return _single_transfer(instruction, before)
        if operation in ("ldrd", "strd"):
            return 3
        if operation in ("tbb", "tbh"):
            return 2
        if operation in ("sdiv", "udiv"):
            return 12
        if operation == "vmov":
            return _move(instruction)
        if operation in ("mrs", "msr"):
            return 2
        return _FLOAT_CYCLES.get(operation, self.multiplies.get(operation, 1))


def _single_transfer(instruction: Instruction, before: Instruction | None) -> int:
    """Return the cycles of a load or store of one register: 2, or one less after a load that the
    address does not need and for STR [Rn, #imm]."""
    double = 1 if instruction.registers[0].startswith("d") else 0
    if instruction.operation.startswith("str") and len(instruction.address_registers) == 1:
        return 1
    follows = before is not None and before.is_load and before.suffix != "f64"
    if follows and before is not None and before.writes not in instruction.address_registers:
        return 1 + double
    return 2 + double


def _move(instruction: Instruction) -> int:
    """Return 2 cycles if two registers at once move between the core and the FPU, otherwise 1."""
    kinds = [name[0] for name in instruction.registers]
    return 2 if kinds.count("r") == 2 else 1


def _stall(before: Instruction, instruction: Instruction) -> int:
    """Return one cycle if an address, or any use of a float result, must wait for what came
    before."""
    result = before.writes
    if result is None:
        return 0
    if before.operation in _FLOAT_ARITHMETIC:
        return 1 if result in instruction.reads else 0
    transfers = instruction.is_load or instruction.is_store
    computed = not before.is_load and not before.operation.startswith(_LISTS)
    return 1 if transfers and computed and result in instruction.address_registers else 0


CORTEX_M3_CYCLES = CortexM3Cycles(
    {"mla": 2, "mls": 2, "smull": 5, "umull": 5, "smlal": 7, "umlal": 7},
    "cycles by the Cortex-M3 manual (DDI 0337I), no wait states; division and long products "
    "at their slowest",
)
CORTEX_M4_CYCLES = CortexM3Cycles(
    {}, "cycles by the Cortex-M4 manual (100166, r0p1), no wait states; division at its slowest"
)
