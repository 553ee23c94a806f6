"""Timing of the Cortex-M0 by ARM DDI 0432C, table 3-1, without wait states and with the
single-cycle multiplier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparsectl.firmware_host.cores.cycle_model import Outcome
from sparsectl.firmware_host.cores.thumb import Instruction


@dataclass(frozen=True)
class CortexM0Cycles:
    """The timing of a Cortex-M0; see `CycleModel`. Each instruction has its cycles, whatever comes
    before it."""

    source: str = (
        "cycles by the Cortex-M0 manual (DDI 0432C), single-cycle multiplier, no wait states"
    )

    def cycles(
        self, before: Sequence[Instruction], instruction: Instruction, outcome: Outcome
    ) -> int:
        operation = instruction.operation
        if operation in ("ldm", "ldmia", "stm", "stmia", "push"):
            return 1 + instruction.list_length
        if operation == "pop":
            length = instruction.list_length
            return 3 + length if outcome is Outcome.TAKEN else 1 + length
        if operation == "bl":
            return 4
        if outcome is Outcome.TAKEN:
            return 3
        if instruction.is_load or instruction.is_store:
            return 2
        return 4 if operation in ("mrs", "msr", "dmb", "dsb", "isb") else 1
