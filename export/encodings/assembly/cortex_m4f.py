"""Straight-line Cortex-M4F code: how many cycles it takes, and how to order it so that it stalls
less.

Cycles: Arm Cortex-M4 Processor Technical Reference Manual (100166), tables 3-1 and 7-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

CONDITION = (
    "!defined({{POLICY}}_NO_ASSEMBLY) && defined(__ARM_FP) && defined(__ARM_FEATURE_DSP) && \\\n"
    "    defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'"
)
"""A template for the preprocessor: on these cores policy.S stands in for the C form."""

_LOOK_AHEAD = 12


@dataclass(frozen=True)
class Instruction:
    """One instruction, with everything that limits where it may stand."""

    text: str
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    cycles: int = 1
    arithmetic: bool = False
    """A float result: whoever takes it in the next instruction waits a cycle."""
    load: bool = False
    """A single load: the next one takes a cycle less."""


def cycles(instructions: Sequence[Instruction]) -> int:
    """Return how many cycles straight-line instructions take."""
    total = sum(instruction.cycles for instruction in instructions)
    for before, after in pairwise(instructions):
        total += _waits(before, after)
        total -= before.load and after.load
    return total


def _waits(before: Instruction, after: Instruction) -> bool:
    return before.arithmetic and before.writes[0] in after.reads


def without_stalls(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Return the instructions in an order with fewer stalls: where one waits for the one before it,
    a later one that may is moved between them."""
    line = list(instructions)
    for place in range(len(line) - 1):
        if not _waits(line[place], line[place + 1]):
            continue
        for later in range(place + 2, min(place + 2 + _LOOK_AHEAD, len(line))):
            if _may_move(line, later, place + 1):
                line.insert(place + 1, line.pop(later))
                break
    return line


def _may_move(line: Sequence[Instruction], later: int, to: int) -> bool:
    moved = line[later]
    if not moved.arithmetic or _waits(line[to - 1], moved) or _waits(moved, line[to]):
        return False
    passed = line[to:later]
    written = {register for each in passed for register in each.writes}
    read = {register for each in passed for register in each.reads}
    return not (written & {*moved.reads, *moved.writes} or moved.writes[0] in read)
