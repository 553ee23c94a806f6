"""Host mode on the host port: what the board takes from the host's policy, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsectl.protocol.wire import Fault, Frame, Mode, Reason, State
from tests.firmware_host.board_process import BoardProcess, Plant

COMPUTE_US = 300


class HostBoard(BoardProcess):
    """In host mode, ACTIVE, in lockstep; `tick` is the last one sampled, not yet commanded."""

    tick = 0

    def activate(self) -> None:
        self.ask("MODE", mode=Mode.HOST)
        assert self.configure(policy_digest=b"\x77" * 32, observation_size=3).name == "ACK"
        self.ask("HOME")
        for _ in range(25):
            self.next_tick()
            self.drive(0.0)
        assert self.ask("ARM", nonce=self.ask("HELLO")["arm_nonce"]).name == "ACK"
        self.next_tick()
        assert self.observation["state"] == State.ACTIVE

    def next_tick(self) -> Frame:
        """Let the board sample; gives the OBSERVATION."""
        self.tick += 1
        assert self.ask("STEP", until_tick=self.tick).name == "ACK"
        self.observation = self.named("OBSERVATION")[-1]
        assert self.observation["tick"] == self.tick
        return self.observation

    def drive(self, output: float, age: int = 0, life: int = 2) -> Frame:
        """Give the answer to a COMMAND for the tick `age` before the last."""
        sequence = self.send(
            "COMMAND",
            tick=(self.tick - age) & 0xFFFFFFFF,
            output=output,
            inference_ns=1234,
            time_to_live=life,
        )
        return self.wait_for(
            lambda f: (
                f.name == "TICK"
                if f.name not in ("ACK", "NACK")
                else f["echo_sequence"] == sequence & 0xFFFF
            )
        )


@pytest.fixture
def board(elf: Path) -> Iterator[HostBoard]:
    with HostBoard(elf, "--clock", "lockstep", plant=Plant()) as board:
        board.activate()
        yield board


def test_a_command_drives_and_its_tick_answers(board: HostBoard) -> None:
    tick = board.drive(0.25)
    assert (tick.name, tick["tick"], tick["state"]) == ("TICK", board.tick, State.ACTIVE)
    assert tick["duty"] == tick["policy_output"] == 0.25
    assert tick["sample_time_us"] == board.observation["sample_time_us"]
    assert tick["inference_ns"] == 1000 * COMPUTE_US and tick["actuation_us"] == COMPUTE_US
    assert board.plant is not None and board.plant.requests[-1][1] == 0.25
    assert board.drive(0.5)["reason"] == Reason.WRONG_TICK  # one a tick
    assert board.plant.requests[-1][1] == 0.25


def test_a_missed_command_holds_the_last_and_is_told(board: HostBoard) -> None:
    board.drive(0.25)
    board.next_tick()
    board.next_tick()
    missed = board.named("TICK")[-1]
    assert (missed["tick"], missed["duty"], missed["state"]) == (board.tick - 1, 0.25, State.ACTIVE)
    assert missed["actuation_us"] >= 20_000 - COMPUTE_US
    assert board.drive(0.1)["duty"] == pytest.approx(0.1)


def test_a_command_that_outlives_its_time_stops_the_motor(board: HostBoard) -> None:
    """The host lives and speaks, but its commands stay away."""
    board.drive(0.25)
    off = []
    for _ in range(4):
        board.ask("TIMESYNC", host_time_ns=0)
        board.next_tick()
        off.append(board.observation["state"] == State.FAULT)
    assert off == [False, False, True, True]
    assert board.observation["fault"] == Fault.COMMAND_LATE
    assert board.plant is not None and board.plant.requests[-1][1] == 0.0
    assert board.drive(0.9)["duty"] == 0.0
    board.ask("DISARM")
    assert board.ask("HELLO")["state"] == State.HOMED  # the encoders are not in doubt


def test_a_shorter_life_is_kept(board: HostBoard) -> None:
    board.drive(0.25, life=1)
    board.next_tick()
    assert board.observation["state"] == State.ACTIVE
    board.next_tick()
    assert board.observation["fault"] == Fault.COMMAND_LATE


def test_commands_of_other_ticks(board: HostBoard) -> None:
    board.drive(0.1)
    board.next_tick()
    board.next_tick()
    assert board.drive(0.2, age=-1)["reason"] == Reason.WRONG_TICK  # to come
    assert board.drive(0.3, age=1).name == "ACK"  # late, but alive
    assert board.plant is not None and board.plant.requests[-1][1] == pytest.approx(0.3)
    assert board.drive(0.4, age=1)["reason"] == Reason.WRONG_TICK
    assert board.drive(0.5, age=2)["reason"] == Reason.WRONG_TICK
    assert board.drive(0.6).name == "TICK"
    assert board.drive(0.7, age=3)["reason"] == Reason.WRONG_TICK  # dead


@pytest.mark.parametrize("life", [0, 3, 255])
def test_a_time_to_live_out_of_range(board: HostBoard, life: int) -> None:
    assert board.drive(0.1, life=life)["reason"] == Reason.BAD_VALUE


@pytest.mark.parametrize("output", [math.nan, math.inf, -math.inf])
def test_a_command_that_is_not_finite_stops_the_motor(board: HostBoard, output: float) -> None:
    board.drive(0.4)
    board.next_tick()
    tick = board.drive(output)
    assert (tick["state"], tick["fault"]) == (State.FAULT, Fault.NON_FINITE)
    assert tick["duty"] == 0.0
    assert board.plant is not None and board.plant.requests[-1][1] == 0.0


def test_device_mode_takes_no_command(elf: Path) -> None:
    with HostBoard(elf, "--clock", "lockstep") as board:
        board.configure()
        assert board.drive(0.1)["reason"] == Reason.WRONG_MODE


def test_home_is_kept_where_the_encoders_are_the_same(elf: Path) -> None:
    with HostBoard(elf, "--clock", "lockstep", plant=Plant()) as board:
        board.activate()
        board.ask("DISARM")
        for _ in range(20):
            board.next_tick()
        states = [board.ask("HELLO")["state"]]
        for mode in (Mode.DEVICE, Mode.HOST, Mode.PIL, Mode.HOST):
            assert board.ask("MODE", mode=mode).name == "ACK"
            states.append(board.ask("HELLO")["state"])
    assert states == [State.HOMED] * 3 + [State.SAFE] * 2


def test_no_way_from_host_mode_to_another_policy(elf: Path) -> None:
    """A digest that host mode does not look at is no pass for device mode."""
    with HostBoard(elf, "--clock", "lockstep", plant=Plant()) as board:
        board.activate()
        board.ask("DISARM")
        for _ in range(20):
            board.next_tick()
        assert board.ask("MODE", mode=Mode.DEVICE).name == "ACK"
        nonce = board.ask("HELLO")["arm_nonce"]
        assert board.ask("ARM", nonce=nonce)["reason"] == Reason.NOT_CONFIGURED
        answer = board.configure(policy_digest=b"\x77" * 32)
        assert answer["reason"] == Reason.WRONG_DIGEST


@pytest.mark.parametrize("ticks", [0, 11])
def test_the_link_time_out_has_its_range(elf: Path, ticks: int) -> None:
    with BoardProcess(elf, "--clock", "lockstep") as board:
        assert board.configure(link_timeout_ticks=10).name == "ACK"
        assert board.configure(link_timeout_ticks=ticks)["reason"] == Reason.BAD_VALUE
        assert board.ask("HELLO")["link_timeout_ticks"] == 10
