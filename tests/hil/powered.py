"""What a trial may find on a board that stays powered, and how it ends there without a pendulum."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.hil.config import Mode as ModeName
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import Kind, read_journal
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.trial.trial import run_trial
from sparsectl.protocol.client import Client
from sparsectl.protocol.wire import Mode, State
from tests.hil.policies import EASY_RIG

STOOD: Final = "the board stopped the trial: STUCK_BASE"
"""How a trial ends that drives a board without a pendulum."""
IN_THE_LOOP: Final = "the pole was not up within 0.1 s"
"""How one ends whose pendulum is simulated."""


def leave_homed(line: Client) -> None:
    """At rest, its ticks unread."""
    line.ask("MODE", mode=Mode.DEVICE)
    line.configure()
    line.ask("HOME")
    while line.ask("HELLO")["state"] == State.HOMING:
        time.sleep(0.02)


def leave_stopped(line: Client) -> None:
    """After an emergency stop."""
    line.configure()
    line.ask("ESTOP")


def leave_driving(line: Client) -> None:
    """As a killed host leaves it."""
    leave_homed(line)
    line.ask("ARM", nonce=line.ask("HELLO")["arm_nonce"])


def leave_in_the_loop(line: Client) -> None:
    """Some PLANT_STEPs on."""
    line.ask("MODE", mode=Mode.PIL)
    line.configure()
    for tick in (7, 8, 9):
        line.ask("PLANT_STEP", tick=tick, base_count=3, pole_count=4)


def leave_questions(line: Client) -> None:
    """Answers, cut frames and noise nobody has read."""
    leave_homed(line)
    for _ in range(5):
        line.send("HELLO")
        line.send("TIMESYNC", host_time_ns=1)
        line.write(b"\x00\x05\x07")


LEFT: Final[tuple[Callable[[Client], None], ...]] = (
    *(leave_homed, leave_stopped, leave_driving, leave_in_the_loop, leave_questions),
)
MODES: Final[tuple[ModeName, ...]] = ("device", "pil", "host", "pil", "device")


QEMU_COUNTS_TIME: Final = ("stm32f405", "nucleo-f446re")
"""Boards whose encoders are timers, which QEMU lets run by the clock: they never rest there."""


def next_trial(board: RunningBoard, policy: Path, out: Path, index: int) -> dict[str, Any]:
    """Leave the board as the one before may have, and run a trial; its result.

    Raises:
        UserError: it was refused, or the link was lost.
        AssertionError: its journal holds another trial's ticks, or noise.
    """
    left, modes = LEFT, MODES
    if board.board.name in QEMU_COUNTS_TIME:
        left, modes = (leave_stopped, leave_in_the_loop), ("pil",)
    with Client(board.port) as line:
        left[index % len(left)](line)
    time.sleep(0.1)  # so that its ticks pile up
    mode = modes[(index + index // len(left)) % len(modes)]
    result = run_trial(config_of(board, policy, out, mode))
    dropped = result["stats"]["frames_dropped"]  # by a board whose line was full
    assert result["lost_frames"] <= dropped, f"{result['lost_frames']} frames got lost"
    check_journal(Path(result["journal"]))
    return result


def config_of(powered: RunningBoard, policy: Path, out: Path, mode: ModeName) -> TrialConfig:
    return TrialConfig(
        policy=policy,
        rig=str(EASY_RIG),
        port=powered.port,
        board=powered.board.name,
        mode=mode,
        clock="fast" if mode == "pil" else "realtime",
        seconds=1.0,
        swing_up_limit_s=60.0 if mode != "pil" else 0.1,
        disturbances=0,
        out=out,
        report=False,
        link_timeout_ticks=10,
    )


def check_journal(path: Path) -> None:
    """It holds this trial's ticks and no others, and their states in the order of a run."""
    journal = read_journal(path)
    states = [int(state) for state in read_trace(journal).state]
    order = [
        state for state, before in zip(states, [None, *states], strict=False) if state != before
    ]
    drove = order.index(State.ACTIVE) if State.ACTIVE in order else len(order)
    homed = order[order.index(State.HOMING) : drove]
    assert order.count(State.ACTIVE) <= 1, f"two runs in one journal: {order}"
    # A busy machine may cost a board the tick between ARMED and the end.
    is_sound = State.FAULT not in homed if drove < len(order) else homed[-1] == State.FAULT
    assert is_sound, f"states of another run: {order}"
    assert not any(record.kind is Kind.GARBAGE for record in journal.records), "garbage"
