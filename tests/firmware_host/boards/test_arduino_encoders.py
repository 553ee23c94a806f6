"""Encoder pins of the Arduinos: pin-change interrupts on simavr's pins, up to the TICK."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.protocol.client import Client
from sparsectl.protocol.wire import Fault, State

STEPS = 9


@pytest.mark.parametrize("name", ["arduino-uno", "arduino-mega2560"])
def test_the_pins_of_an_encoder_up_to_the_tick(name: str, firmware: Callable[[str], Path]) -> None:
    with RunningBoard(BOARDS[name], firmware(name)) as board:
        with Client(board.port) as line:
            assert line.configure().name == "ACK"
            turns_the_counts(board, line)
            a_missed_edge_costs_the_zero(board, line)
    check_cycles(board)


def turns_the_counts(board: RunningBoard, line: Client) -> None:
    base, pole = counts(line)
    for step in range(1, STEPS + 1):
        os.kill(board.process.pid, signal.SIGUSR1)
        wanted = (base + step, pole - step)
        assert any(counts(line) == wanted for _ in range(100)), (step, counts(line))
    assert line.ask("STATS")["edges_lost"] == 0


def a_missed_edge_costs_the_zero(board: RunningBoard, line: Client) -> None:
    line.ask("HOME")
    while (hello := line.ask("HELLO"))["state"] == State.HOMING:
        line.receive(0.05)
    assert hello["state"] == State.HOMED
    os.kill(board.process.pid, signal.SIGUSR2)  # both channels of the base at once
    while (hello := line.ask("HELLO"))["state"] == State.HOMED:
        line.receive(0.05)
    assert (hello["state"], hello["fault"]) == (State.FAULT, Fault.ENCODER_LOST)
    assert line.ask("STATS")["edges_lost"] == 1


def check_cycles(running: RunningBoard) -> None:
    """What `build` reckons with is what simavr has counted, and not much more."""
    board = running.board
    taken = {word: int(number) for word, number in re.findall(r"(\w+) (\d+)", running.last_words)}
    assert board.edge_cycles is not None
    assert 0.8 * board.edge_cycles <= taken["EDGE"] <= board.edge_cycles
    assert 0.8 * board.deaf_cycles <= taken["DEAF"] <= board.deaf_cycles


def counts(line: Client) -> tuple[int, int]:
    """Base and pole of the next TICK."""
    while True:
        for frame in line.receive(5.0):
            if frame.name == "TICK":
                return frame["base_count"], frame["pole_count"]
