"""A recurrent policy on the board: when its state is reset, and golden vectors in any order."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.policy_folder import read_golden_vectors, read_policy_facts
from sparsectl.firmware_host.policy_library import build_policy_library
from sparsectl.protocol.wire import Fault, Frame, Mode, Reason, State
from tests.firmware_host.board_process import BoardProcess
from tests.firmware_host.core_library import RIG
from tests.firmware_host.counting_policy import (
    QUARTER_TURN,
    SEQUENCE,
    output,
    vectors,
    write_counting_policy,
)

PERIOD_US = 20_000


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_counting_policy(tmp_path_factory.mktemp("counting"))


@pytest.fixture(scope="module")
def board_elf(counting: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("firmware")
    return Path(build_firmware(counting, "host", RIG, out, ("-Werror",))["elf"])


def calls(frames: list[Frame]) -> list[int]:
    """Of the policy since its last reset, in each of these ticks."""
    return [round(frame["policy_output"] / output(1)) for frame in frames]


def step(board: BoardProcess, until: int, first: int | None = None) -> None:
    for tick in range(until if first is None else first, until + 1):
        assert board.ask("STEP", until_tick=tick).name == "ACK"


def test_the_state_is_reset_at_home_on_taking_over_and_after_skipped_ticks(board_elf: Path) -> None:
    stall = ("--fault", "stall", "--stall-us", str(2 * PERIOD_US), "--fault-at-us", "700000")
    with BoardProcess(board_elf, "--clock", "lockstep", *stall) as board:
        board.configure()
        board.ask("HOME")
        step(board, 28, first=1)
        assert board.ask("BENCH", index=1)["max_error"] == 0  # has a state of its own
        step(board, 29)
        board.ask("ARM", nonce=board.ask("HELLO")["arm_nonce"])
        step(board, 40, first=30)
    ticks = board.named("TICK")
    found = dict(zip([tick["tick"] for tick in ticks], calls(ticks), strict=True))
    states = {tick["tick"]: State(tick["state"]) for tick in ticks}
    assert (states[24], states[25], states[29]) == (State.HOMING, State.HOMED, State.HOMED)
    assert states[30] == states[40] == State.ACTIVE
    assert [found[tick] for tick in range(1, 25)] == list(range(1, 25))
    assert [found[tick] for tick in range(25, 30)] == [1, 2, 3, 4, 5]
    missing = next(tick for tick in range(30, 40) if tick not in found)
    after = [tick for tick in found if tick > missing]
    assert 34 < missing < 38 and ticks[-1]["skipped"] == 1
    assert [found[tick] for tick in range(30, missing)] == list(range(1, missing - 29))
    assert [found[tick] for tick in after] == list(range(1, len(after) + 1))


def test_a_state_that_is_not_finite_stops_the_motor_and_does_not_stay(board_elf: Path) -> None:
    with BoardProcess(board_elf, "--clock", "lockstep") as board:
        board.ask("MODE", mode=Mode.PIL)
        board.configure()
        board.ask("HOME")
        number = 0

        def plant(pole_count: int = 0) -> Frame:
            nonlocal number
            number += 1
            return board.ask("PLANT_STEP", tick=number, base_count=0, pole_count=pole_count)

        while plant()["state"] != State.HOMED:
            pass
        board.ask("ARM", nonce=board.ask("HELLO")["arm_nonce"])
        act = plant()
        assert (act["state"], act["duty"]) == (State.ACTIVE, output(1))
        act = plant(QUARTER_TURN)  # too fast for a pole, too: the first fault is the one that stays
        assert math.isnan(act["policy_output"]) and act["duty"] == 0.0
        assert act["state"] == State.FAULT
        assert calls([plant(), plant()]) == [1, 2]
        board.ask("DISARM")
        assert plant()["state"] == State.SAFE
        act = plant(QUARTER_TURN)
        assert (act["state"], act["fault"]) == (State.FAULT, Fault.NON_FINITE)
        assert math.isnan(act["policy_output"])
        assert calls([plant(), plant()]) == [1, 2]


def test_golden_vectors_in_any_order(board_elf: Path) -> None:
    _, actions = vectors()
    with BoardProcess(board_elf, "--clock", "lockstep") as board:
        board.configure()
        for index in (5, 0, 4, 4, 2, 3, 1):
            answer = board.ask("BENCH", index=index)
            assert (answer["max_error"], answer["action"]) == (0.0, actions[index, 0])
        assert board.ask("BENCH", index=6)["reason"] == Reason.BAD_INDEX
        assert board.ask("BENCH", index=65_535)["reason"] == Reason.BAD_INDEX


def test_the_hosts_library_keeps_the_same_rule(counting: Path, tmp_path: Path) -> None:
    library = build_policy_library(counting, RIG, tmp_path / "library")
    library.check_golden_vectors()

    def count(pole_count: int = 0, periods: int = 1) -> float:
        return library.act(0, pole_count, periods)[0] / output(1)

    assert [count(), count(), count()] == [1, 2, 3]
    assert [count(periods=2), count()] == [1, 2]
    library.begin()
    assert [count(), count()] == [1, 2]
    library.reset()
    assert [count(), count()] == [1, 2]
    assert math.isnan(count(QUARTER_TURN))
    assert [count(), count()] == [1, 2]


def test_a_folder_without_policy_json_tells_its_state(counting: Path) -> None:
    assert read_policy_facts(counting).state_size == 1
    golden = read_golden_vectors(counting)
    assert golden.sequence_length == SEQUENCE
    assert np.array_equal(golden.actions, vectors()[1])
