"""Encoder pins of the Arduinos: pin-change interrupts on simavr's pins, up to the TICK."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.emulators.conversation import Conversation
from sparsectl.firmware_host.emulators.running import RunningBoard

STEPS = 9


@pytest.mark.parametrize("name", ["arduino-uno", "arduino-mega2560"])
def test_turning_the_pins_turns_the_counts(name: str, firmware: Callable[[str], Path]) -> None:
    with RunningBoard(BOARDS[name], firmware(name)) as board, Conversation(board.port) as line:
        assert line.configure().name == "ACK"
        base, pole = counts(line)
        for step in range(1, STEPS + 1):
            os.kill(board.process.pid, signal.SIGUSR1)
            wanted = (base + step, pole - step)
            assert any(counts(line) == wanted for _ in range(100)), (step, counts(line))


def counts(line: Conversation) -> tuple[int, int]:
    """Base and pole of the next TICK."""
    while True:
        for frame in line.receive(5.0):
            if frame.name == "TICK":
                return frame["base_count"], frame["pole_count"]
