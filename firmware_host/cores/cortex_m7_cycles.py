"""Timing of the Cortex-M7, which is an estimate: Arm publishes no table of cycles for this core.

One instruction a cycle in order, from memory without wait states; a result may be used after the
cycles below. Dual issue is not modelled: real code is faster where pairs go together, up to twice.
Branches are taken as predicted: a taken one costs a cycle more, a return two. The latencies are
those that the pipeline of DDI 0489 suggests, rounded up, not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sparsectl.firmware_host.cores.cycle_model import Outcome
from sparsectl.firmware_host.cores.thumb import Instruction

_LATENCY: Final = {
    "vadd": 3,
    "vsub": 3,
    "vmul": 3,
    "vnmul": 3,
    "vcvt": 3,
    "vfma": 5,
    "vfms": 5,
    "vmla": 6,
    "vmls": 6,
    "mul": 2,
    "mla": 2,
    "mls": 2,
    "smull": 2,
    "umull": 2,
    "smlal": 2,
    "umlal": 2,
}
_ISSUE: Final = {"vdiv": 14, "vsqrt": 14, "sdiv": 12, "udiv": 12, "ldrd": 1, "strd": 1}
_LISTS: Final = ("ldm", "stm", "push", "pop", "vldm", "vstm", "vpush", "vpop")
_LOAD_LATENCY: Final = 2


@dataclass(frozen=True)
class CortexM7Cycles:
    """The estimated timing of a Cortex-M7; see `CycleModel`."""

    source: str = (
        "an estimate: one instruction a cycle, latencies assumed, dual issue not modelled, "
        "no wait states (Arm publishes no cycles for the Cortex-M7)"
    )

    def cycles(
        self, before: Sequence[Instruction], instruction: Instruction, outcome: Outcome
    ) -> int:
        if outcome is Outcome.SKIPPED:
            return 1
        cycles = _ISSUE.get(instruction.operation, 1)
        if instruction.operation.startswith(_LISTS):
            cycles = max(1, (instruction.list_length + 1) // 2)  # a bus of 64 bits
        if outcome is Outcome.TAKEN:
            cycles += 1 if instruction.is_branch and instruction.operation != "bx" else 2
        return cycles + _wait(before, instruction)


def _wait(before: Sequence[Instruction], instruction: Instruction) -> int:
    """Return the cycles until the operands are available, with each instruction in between taken as
    one cycle."""
    waits = [0]
    needed = set(instruction.reads)
    for distance, earlier in enumerate(reversed(before), 1):
        if earlier.writes in needed:
            latency = _LOAD_LATENCY if earlier.is_load else _LATENCY.get(earlier.operation, 1)
            waits.append(latency - distance)
            needed.discard(earlier.writes or "")
    return max(waits)
