"""Trials one after another on a board that stays powered, whatever the one before left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.emulators.conversation import Conversation
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.firmware_host.rig_constants import RigConstants
from sparsectl.hil.config import Mode as ModeName
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal import Kind, read_journal
from sparsectl.hil.samples import read_trace
from sparsectl.hil.trial import run_trial
from sparsectl.plants.rig import load_rig
from sparsectl.protocol.wire import Mode, State
from tests.firmware_host.boards.conftest import need_board
from tests.hil.policies import EASY_RIG

STOOD = "the board stopped the trial: STUCK_BASE"
"""How a trial ends that drives a board without a pendulum."""
BUSY = "the board stopped the trial: COMMAND_LATE"
"""How host mode ends on a machine that is too busy for it; no refusal either."""


@pytest.fixture(scope="module", params=["host", "arduino-uno"])
def powered(
    request: pytest.FixtureRequest, easy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBoard]:
    board = BOARDS[request.param]
    need_board(board)
    rig = RigConstants(**load_rig(str(EASY_RIG)).firmware_constants())
    built = build_firmware(easy, board, rig, tmp_path_factory.mktemp("powered") / "firmware")
    with RunningBoard(board, Path(built["elf"])) as running:
        yield running


def leave_homed(line: Conversation) -> None:
    """At rest, its ticks unread."""
    line.ask("MODE", mode=Mode.DEVICE)
    line.configure()
    line.ask("HOME")
    while line.ask("HELLO")["state"] == State.HOMING:
        time.sleep(0.02)


def leave_stopped(line: Conversation) -> None:
    """After an emergency stop."""
    line.configure()
    line.ask("ESTOP")


def leave_driving(line: Conversation) -> None:
    """As a killed host leaves it."""
    leave_homed(line)
    line.ask("ARM", nonce=line.ask("HELLO")["arm_nonce"])


def leave_in_the_loop(line: Conversation) -> None:
    """Some PLANT_STEPs on."""
    line.ask("MODE", mode=Mode.PIL)
    line.configure()
    for tick in (7, 8, 9):
        line.ask("PLANT_STEP", tick=tick, base_count=3, pole_count=4)


def leave_questions(line: Conversation) -> None:
    """Answers, cut frames and noise nobody has read."""
    leave_homed(line)
    for _ in range(5):
        line.send("HELLO")
        line.send("TIMESYNC", host_time_ns=1)
        line.write(b"\x00\x05\x07")


LEFT = (leave_homed, leave_stopped, leave_driving, leave_in_the_loop, leave_questions)


def test_no_trial_is_refused_for_what_an_earlier_one_left(
    powered: RunningBoard, easy: Path, tmp_path: Path
) -> None:
    modes: list[ModeName] = ["device", "pil", "host", "pil", "device"]
    for index, (leave, mode) in enumerate(zip(LEFT, modes, strict=True)):
        with Conversation(powered.port) as line:
            leave(line)
        time.sleep(0.1)  # so that its ticks pile up
        result = run_trial(config_of(powered, easy, tmp_path / str(index), mode))
        if mode == "pil":
            assert result["ended"] == "the pole was not up within 0.1 s"
        else:
            assert result["ended"].startswith((STOOD, BUSY))
        assert result["lost_frames"] == 0
        check_journal(Path(result["journal"]))


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
    drove = order.index(State.ACTIVE)
    assert order.count(State.ACTIVE) == 1
    assert (
        State.HOMING in order[:drove]
        and State.FAULT not in order[order.index(State.HOMING) : drove]
    )
    assert not any(record.kind is Kind.GARBAGE for record in journal.records)
