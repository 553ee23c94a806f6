"""Compare the edges of its encoders that a board can count with those of a rig at its rate limits.

A board whose timers decode the encoders counts any edge that a rig can make, but a timer that turns
over by half its range between two looks at it reads as one that turned back. One that takes an
interrupt for each edge has two bounds: all edges together take `edge_cycles` each of the processor,
and those of one encoder must not come faster than it is looked at, which anything that holds
interrupts off (`deaf_cycles`) delays. An edge that is missed is found by the firmware:
ENCODER_LOST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards import Board
from sparsectl.firmware_host.config_header import safety_ticks
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
    _check_counters(board, rig)
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


def _check_counters(board: Board, rig: RigConstants) -> None:
    """Check that no timer turns over by half its range before the firmware, which looks at it in
    every control tick, gives up late ones as an overrun."""
    if board.counter_bits is None:
        return
    most = 2 ** (board.counter_bits - 1) - 1
    ticks = safety_ticks(rig)["overrun"] + 1
    units = {
        "base": rig.base_rate_limit / rig.base_unit,
        "pole": rig.pole_rate_limit / rig.pole_rad,
    }
    for name, edges in units.items():
        counts = round(edges * ticks * rig.period_us * 1e-6)
        if counts > most:
            raise UserError(
                f"the {name}'s encoder makes {counts} edges in {ticks} control periods at its rate "
                f"limit, and a timer of {board.name} tells {most} from as many backwards; lower "
                "the rate limit in the rig's file to what it really does, shorten the period, or "
                "take an encoder of fewer counts"
            )


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
