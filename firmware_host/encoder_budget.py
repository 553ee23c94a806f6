"""Compare the edges of its encoders that a board can count with those of a rig at its rate limits.

A board whose timers decode the encoders counts any that a rig can make. One that takes an interrupt
for each edge has two bounds: all edges together take `edge_cycles` each of the processor, and those
of one encoder must not come faster than it is looked at, which anything that holds interrupts off
(`deaf_cycles`) delays. An edge that is missed is found by the firmware: ENCODER_LOST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards import Board
from sparsectl.plants.rig_constants import RigConstants


@dataclass(frozen=True)
class EncoderBudget:
    """Edges per second: those of the rig at its rate limits, and those that the board can count."""

    base: int
    pole: int
    most_together: int
    most_of_one: int

    @property
    def share(self) -> float:
        """Return the share of the processor that the interrupts take at the rate limits."""
        return (self.base + self.pole) / self.most_together


def encoder_budget(board: Board, rig: RigConstants) -> EncoderBudget | None:
    """Return what `rig` demands of `board`; None if no processor counts edges."""
    if board.edge_cycles is None or board.clock_hz is None:
        return None
    return EncoderBudget(
        base=round(rig.base_rate_limit / rig.base_unit),
        pole=round(rig.pole_rate_limit / rig.pole_rad),
        most_together=board.clock_hz // board.edge_cycles,
        most_of_one=board.clock_hz // (board.edge_cycles + board.deaf_cycles),
    )


def check_encoders(board: Board, rig: RigConstants) -> EncoderBudget | None:
    """Return the budget if the board can keep up with the rig.

    Raises:
        UserError: it cannot; the line names the numbers.
    """
    budget = encoder_budget(board, rig)
    if budget is None:
        return None
    mend = (
        "lower the rate limits in the rig's file to what it really does, take encoders of fewer "
        "counts, or a board whose timers count them, such as stm32f405"
    )
    for name, edges in (("base", budget.base), ("pole", budget.pole)):
        if edges > budget.most_of_one:
            raise UserError(
                f"the {name}'s encoder makes {edges} edges a second at its rate limit, and "
                f"{board.name} can tell {budget.most_of_one} of one encoder apart; {mend}"
            )
    if budget.base + budget.pole > budget.most_together:
        raise UserError(
            f"the encoders make {budget.base + budget.pole} edges a second at their rate limits, "
            f"and {board.name} counts {budget.most_together} at {board.edge_cycles} cycles each; "
            f"{mend}"
        )
    return budget


def encoder_figures(budget: EncoderBudget | None) -> dict[str, Any]:
    """Return the figures in the result of `build`: encoder_edges per second at the rate limits,
    encoder_edges_most that the board can count, and encoder_share of the processor; None if no
    processor counts edges."""
    if budget is None:
        return {"encoder_edges": None, "encoder_edges_most": None, "encoder_share": None}
    return {
        "encoder_edges": budget.base + budget.pole,
        "encoder_edges_most": budget.most_together,
        "encoder_share": round(budget.share, 3),
    }
