"""Models of a processor's timing: the cycles of an instruction, which depend on those before it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from sparsectl.firmware_host.cores.thumb import Instruction


class Outcome(Enum):
    """The outcome of an instruction when it ran."""

    RUN = 0
    SKIPPED = 1
    """The instruction's condition did not hold."""
    TAKEN = 2
    """It went elsewhere than to the next address."""


class CycleModel(Protocol):
    """A processor's timing."""

    @property
    def source(self) -> str:
        """Source of the model and what it leaves out, for the note beside a figure."""

    def cycles(
        self, before: Sequence[Instruction], instruction: Instruction, outcome: Outcome
    ) -> int:
        """Return the cycles of `instruction`; `before`: the instructions just before it, newest
        last."""
