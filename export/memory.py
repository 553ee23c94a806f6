"""The memory of a board that a policy takes, as `bench` measured it: for policy.h and
policy.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sparsectl.export.c_style import CStyle


@dataclass(frozen=True)
class MemoryNeed:
    """The memory on one board."""

    board: str
    compiler: str
    """Compiler with version and optimisation, such as arm-none-eabi-gcc 12.2.1 -O2, for which the
    figures hold."""
    stack_bytes: int | None
    """The deepest that the stack went below the call of policy_act; None: it could not be
    measured."""
    ram_bytes: int
    """Static RAM: data and zeroed data."""
    flash_bytes: int
    """Code and tables, over an empty firmware."""
    calls: int
    """Number of calls, of which this is the deepest."""
    is_target: bool = True
    """True if the policy was exported for this board; False if it is the machine that exported
    it."""


def as_rows(needs: Sequence[MemoryNeed]) -> list[dict[str, Any]]:
    """Return rows for policy.json."""
    return [asdict(need) for need in needs]


def memory_lines(needs: Sequence[MemoryNeed]) -> list[str]:
    """Return lines for the head of policy.h, two per board."""
    lines = []
    for index, need in enumerate(needs):
        board = need.board if need.is_target else f"{need.board}, as no --board was named"
        stack = "not measured" if need.stack_bytes is None else f"{need.stack_bytes} below the call"
        lines += [
            f"{'' if index else 'memory':<13}{board} ({need.compiler}, {need.calls} calls):",
            f"{'':<13}bytes of stack {stack}, of static RAM {need.ram_bytes}, "
            f"of flash {need.flash_bytes}",
        ]
    return lines


def memory_macros(needs: Sequence[MemoryNeed], style: CStyle) -> str:
    """Return POLICY_STACK_BYTES and POLICY_RAM_BYTES: the greatest of all boards; empty if no board
    was named, or if one's stack could not be measured."""
    stacks = [need.stack_bytes for need in needs if need.is_target]
    known = [stack for stack in stacks if stack is not None]
    if not known or len(known) < len(stacks):
        return ""
    ram = max(need.ram_bytes for need in needs if need.is_target)
    sizes = (("STACK_BYTES", max(known)), ("RAM_BYTES", ram))
    return "".join(f"#define {style.macro(name)} {size}\n" for name, size in sizes)
