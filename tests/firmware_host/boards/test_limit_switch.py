"""The loop of limit switches on the chips: while it is open, no motor is driven."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.protocol.client import Client
from sparsectl.protocol.wire import Fault, Frame, State
from tests.firmware_host.boards.conftest import need_board
from tests.firmware_host.small_policy import small_policy

ALIVE_S = 0.1
"""Between two messages of a host that has nothing to say."""
EMULATED_S = 20.0
"""For an answer of an emulator that a busy machine starves."""


@pytest.mark.parametrize("name", ["arduino-mega2560", "mps2-an386"])
def test_an_open_loop_forbids_to_drive(name: str, rig: RigConstants, tmp_path: Path) -> None:
    """Nothing is on the pin of the one but its pull-up; the other has no such input."""
    board = BOARDS[name]
    need_board(board)
    policy = small_policy().write(tmp_path / "policy")
    built = build_firmware(policy, board, replace(rig, limit_switches=1), tmp_path / "firmware")
    with RunningBoard(board, Path(built["elf"])) as running, Client(running.port) as line:
        assert line.configure().name == "ACK"
        line.ask("HOME")
        until(line, State.HOMED)  # by a person who pushes the base off the switch
        nonce = line.ask("HELLO", patience_s=EMULATED_S)["arm_nonce"]
        assert line.ask("ARM", nonce=nonce).name == "ACK"
        last = until(line, State.ACTIVE, State.FAULT)
        assert (last["state"], last["fault"]) == (State.FAULT, Fault.LIMIT_SWITCH)


def until(line: Client, *states: State) -> Frame:
    """The first TICK in one of these states; the board hears of its host meanwhile."""
    last, heard, patience = None, -math.inf, time.monotonic() + 60
    while (now := time.monotonic()) < patience:
        # Not at each tick: an emulator that is slower than the clock would have them pile up.
        if now > heard + ALIVE_S:
            line.send("TIMESYNC", host_time_ns=0)
            heard = now
        for last in line.receive(1.0):
            if last.name == "TICK" and last["state"] in states:
                return last
    raise AssertionError(f"never {states}; last {last}")
