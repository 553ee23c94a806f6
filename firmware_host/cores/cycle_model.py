"""What a model of a processor's timing is: the cycles of an instruction after those before it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from sparsectl.firmware_host.cores.thumb import Instruction


class Outcome(Enum):
    """What an instruction did."""

    RUN = 0
    SKIPPED = 1
    """Its condition did not hold."""
    TAKEN = 2
    """It went elsewhere than to the next address."""


class CycleModel(Protocol):
    """A processor's timing."""

    @property
    def source(self) -> str:
        """Where it comes from and what it leaves out, for the note beside a figure."""

    def cycles(
        self, before: Sequence[Instruction], instruction: Instruction, outcome: Outcome
    ) -> int:
        """Cycles of `instruction`; `before`: what ran just before it, the newest last."""
