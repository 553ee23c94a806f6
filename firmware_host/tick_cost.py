"""Predict the worst case of a board's control tick, policy included, before the board is there.

Two measurements make it. The policy alone runs on the board's core, counted call by call, on its
golden vectors and on the corners of their range (`firmware_host.cores`). The rest of the tick, from
reading the encoders to setting the motor, is what the board's own firmware measures of itself in
the emulator, interrupts included, less its policy call. What is sent to the host comes after that
and delays nothing.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.common.scratch import scratch_folder
from sparsectl.firmware_host.boards import Board
from sparsectl.firmware_host.cores import Measurement
from sparsectl.firmware_host.cores.measured_inputs import measured_inputs
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.firmware_host.policy_folder import read_golden_vectors
from sparsectl.protocol.client import Client

TICKS: Final = 25
PATIENCE_S: Final = 20.0


@dataclass(frozen=True)
class TickCost:
    """The most that a control tick takes; None for what cannot be determined here."""

    cycles: int | None
    cycles_kind: str | None
    """exact or modelled; None without cycles."""
    instructions: int | None
    microseconds: float | None
    note: str
    """Says what the figures are and what they are not."""


def worst_tick(board: Board, elf: Path, policy: Path, period_us: int) -> dict[str, Any]:
    """Measure the tick of the firmware `elf` around the policy in the folder `policy`.

    Returns:
        tick_cycles, tick_cycles_kind, tick_instructions, tick_microseconds, tick_share (of the
        period), tick_note.

    Raises:
        UserError: the tick takes longer than the control period.
    """
    cost = _cost(board, elf, policy)
    share = None if cost.microseconds is None else cost.microseconds / period_us
    if share is not None and share > 1.0:
        raise UserError(
            f"the control tick with {policy} takes up to {cost.microseconds:.0f} us on "
            f"{board.name}, over the period of {period_us} us; keep fewer weights, export for that "
            "board, or take a faster one"
        )
    return {f"tick_{name}": value for name, value in asdict(cost).items()} | {"tick_share": share}


def _cost(board: Board, elf: Path, policy: Path) -> TickCost:
    if board.emulator is None or board.clock_hz is None:
        return TickCost(None, None, None, None, "not measured: the board's clock is not fixed")
    try:
        with Progress(total=2, desc=f"measure on {board.name}", leave=False, delay=1.0) as bar:
            rest_s = _rest_of_tick_s(board, elf)
            bar.update()
            alone = _policy_alone(board, policy)
    except UserError as error:
        return TickCost(None, None, None, None, f"not measured: {error}")
    return _sum(board, alone, rest_s)


def _policy_alone(board: Board, policy: Path) -> Measurement:
    golden = read_golden_vectors(policy)
    with scratch_folder("tick") as scratch:
        return board.core.measure(policy, scratch, measured_inputs(golden.observations), 1)


def _rest_of_tick_s(board: Board, elf: Path) -> float:
    """Return the longest time from sampling to actuation without the policy, in s of the board's
    clock."""
    with RunningBoard(board, elf) as running, Client(running.port) as line:
        line.configure()
        deadline = time.monotonic() + PATIENCE_S
        rest_us: list[float] = []
        while len(rest_us) < TICKS:
            if time.monotonic() > deadline:
                raise UserError(f"the emulated {board.name} does not tick")
            ticks = [frame for frame in line.receive(0.5) if frame.name == "TICK"]
            # TICK has whole microseconds: up to one more
            rest_us += [tick["actuation_us"] + 1 - tick["inference_ns"] * 1e-3 for tick in ticks]
    return max(rest_us) * 1e-6


def _sum(board: Board, alone: Measurement, rest_s: float) -> TickCost:
    assert board.emulator is not None and board.clock_hz is not None
    rest = board.emulator.instructions(rest_s)
    instructions = None
    if rest is not None and alone.instructions is not None:
        instructions = max(alone.instructions) + rest
    cycles = _cycles(alone, rest, rest_s, board.clock_hz)
    counts = instructions if cycles is None else cycles
    microseconds = None if counts is None else round(counts / board.clock_hz * 1e6, 1)
    note = f"{alone.note}; rest of the tick: {board.emulator.note}"
    if cycles is None:
        note += "; time as if each instruction took a cycle"
    return TickCost(cycles, alone.cycles_kind, instructions, microseconds, note)


def _cycles(alone: Measurement, rest: int | None, rest_s: float, clock_hz: int) -> int | None:
    """Return the cycles of the whole tick. Where only the instructions of the rest are known, they
    are taken to cost as many cycles each as the policy's."""
    if alone.cycles is None:
        return None
    if rest is None or alone.instructions is None:
        return max(alone.cycles) + round(rest_s * clock_hz)
    return max(alone.cycles) + round(rest * sum(alone.cycles) / sum(alone.instructions))
