"""Damping of nonlinear least squares (Levenberg 1944, Marquardt 1963).

A step solves (H + λ diag(H)) step = -gradient. Where it does not lower the error, λ grows and the
step turns towards the gradient; after one that does, λ shrinks. How the step is solved and what the
error is are the caller's: some have a dense matrix, some one that falls into blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True)
class Damping:
    """The damping λ, and how it changes from step to step."""

    down: float = 1 / 3
    """λ is multiplied by this after a step that lowered the error."""
    up: float = 4.0
    """λ is multiplied by this after a step that did not."""
    least: float = 1e-6
    most: float = math.inf
    """The largest λ that is tried."""
    tries: int = 6
    """Steps that are tried before giving up."""

    def step(
        self, damping: float, attempt: Callable[[float], Found | None]
    ) -> tuple[Found | None, float]:
        """Try steps with growing λ until one lowers the error.

        Args:
            damping: λ of the first step.
            attempt: takes λ; returns the result of the step, or None if the step does not lower the
                error.

        Returns:
            tuple: the result of the last step, or None if all steps failed; and λ for the next
                call.
        """
        for _ in range(self.tries):
            if damping >= self.most:
                break
            found = attempt(damping)
            if found is not None:
                return found, max(damping * self.down, self.least)
            damping *= self.up
        return None, damping
