"""The host port as a process over its pty: identity, refusals, golden vectors, pil."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.protocol.wire import PROTOCOL_HASH, Clock, Fault, Mode, Reason, State, encode
from tests.firmware_host.board_process import BoardProcess, Plant
from tests.firmware_host.core_library import RIG, Core
from tests.firmware_host.small_policy import SmallPolicy, small_policy


@pytest.fixture
def board(elf: Path) -> Iterator[BoardProcess]:
    with BoardProcess(elf, "--clock", "lockstep") as board:
        yield board


def _bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def test_hello_tells_what_was_built(board: BoardProcess, policy: SmallPolicy) -> None:
    hello = board.ask("HELLO")
    assert hello["protocol_hash"] == PROTOCOL_HASH
    assert hello["policy_digest"].hex() == policy.digest
    assert (hello["board"], hello["clock"]) == ("host", Clock.LOCKSTEP)
    assert (hello["observation_size"], hello["action_size"], hello["frames"]) == (25, 1, 5)
    assert (hello["state"], hello["mode"], hello["tick"]) == (State.SAFE, Mode.DEVICE, 0)
    for name in ("period_us", "base_unit_per_count", "pole_rad_per_count", "base_limit"):
        assert _bits(hello[name]) == _bits(getattr(RIG, name))
    for name in ("max_duty", "base_rate_limit", "pole_rate_limit"):
        assert _bits(hello[name]) == _bits(getattr(RIG, name))


def test_line_is_raw_from_the_start(board: BoardProcess) -> None:
    assert board.raw


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"policy_digest": b"\x55" * 32}, Reason.WRONG_DIGEST),
        ({"period_us": 10_000}, Reason.WRONG_PERIOD),
        ({"base_unit_per_count": np.nextafter(np.float32(9e-5), np.float32(1))}, 7),
        ({"pole_rad_per_count": 0.001}, Reason.WRONG_POLE_SCALE),
        ({"observation_size": 24}, Reason.WRONG_SIZES),
        ({"frames": 4}, Reason.WRONG_SIZES),
    ],
)
def test_config_that_differs_is_refused(
    board: BoardProcess, change: dict[str, Any], reason: int
) -> None:
    assert board.configure().name == "ACK"
    nack = board.configure(**change)
    assert (nack.name, nack["reason"]) == ("NACK", reason)
    arm = board.ask("ARM", nonce=board.ask("HELLO")["arm_nonce"])
    assert (arm.name, arm["reason"]) == ("NACK", Reason.NOT_CONFIGURED)


def test_arm_needs_the_latest_nonce_and_home(board: BoardProcess) -> None:
    board.configure()
    nonce = board.ask("HELLO")["arm_nonce"]
    assert board.ask("ARM", nonce=nonce ^ 1)["reason"] == Reason.WRONG_NONCE
    assert board.ask("ARM", nonce=nonce)["reason"] == Reason.WRONG_NONCE  # spent by the first
    nonce = board.ask("HELLO")["arm_nonce"]
    assert board.ask("ARM", nonce=nonce)["reason"] == Reason.WRONG_STATE


def test_golden_vectors_bit_for_bit(board: BoardProcess, policy: SmallPolicy) -> None:
    _, actions = policy.vectors()
    assert board.ask("HELLO")["vector_count"] == len(actions)
    for index, action in enumerate(actions):
        answer = board.ask("BENCH", index=index)
        assert (answer["index"], answer["max_error"]) == (index, 0.0)
        assert _bits(answer["action"]) == _bits(action[0])
        assert answer["inference_ns"] == 0  # the virtual clock stands still meanwhile
    assert board.ask("BENCH", index=len(actions))["reason"] == Reason.BAD_INDEX


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("MODE", {"mode": 7}, Reason.UNKNOWN_MODE),
        ("PLANT_STEP", {"tick": 1, "base_count": 0, "pole_count": 0}, Reason.WRONG_MODE),
        ("DISTURB", {"duty": 0.1, "ticks": 3}, Reason.WRONG_STATE),
        ("DISTURB", {"duty": float("nan"), "ticks": 3}, Reason.BAD_VALUE),
    ],
)
def test_refusals(board: BoardProcess, name: str, values: dict[str, Any], reason: Reason) -> None:
    assert board.ask(name, **values)["reason"] == reason


def test_step_needs_the_lockstep_clock(elf: Path) -> None:
    with BoardProcess(elf, "--clock", "realtime") as board:
        assert board.ask("STEP", until_tick=5)["reason"] == Reason.WRONG_MODE


def test_pil_is_the_policy_bit_for_bit(
    board: BoardProcess, core: Core, policy: SmallPolicy
) -> None:
    walk = np.cumsum(np.random.default_rng(2).integers(-60, 61, (80, 2)), axis=0)
    assert board.ask("MODE", mode=Mode.PIL).name == "ACK"
    core.c.shim_observe_init(5)
    for tick, (base, pole) in enumerate(walk.tolist(), start=900):
        act = board.ask("PLANT_STEP", tick=tick, base_count=base, pole_count=pole)
        observation = np.array(core.observe(base, pole, 5), np.float32)
        assert _bits(act["policy_output"]) == _bits(policy.forward(observation))
        assert (act["tick"], act["duty"], act["state"]) == (tick, 0.0, State.SAFE)


def test_pil_goes_through_the_states(board: BoardProcess) -> None:
    board.ask("MODE", mode=Mode.PIL)
    board.configure()
    board.ask("HOME")
    acts = [board.ask("PLANT_STEP", tick=t, base_count=4, pole_count=0) for t in range(25)]
    assert [act["state"] for act in acts] == [State.HOMING] * 24 + [State.HOMED]
    board.ask("ARM", nonce=board.ask("HELLO")["arm_nonce"])
    act = board.ask("PLANT_STEP", tick=25, base_count=5, pole_count=1)
    assert act["state"] == State.ACTIVE
    assert act["duty"] == act["policy_output"] != 0.0
    assert board.ask("DISTURB", duty=-0.5, ticks=2).name == "ACK"
    kicked = [board.ask("PLANT_STEP", tick=t, base_count=6, pole_count=t) for t in (26, 27, 28)]
    assert [a["duty"] for a in kicked] == pytest.approx(
        [kicked[0]["policy_output"] - 0.5, kicked[1]["policy_output"] - 0.5]
        + [kicked[2]["policy_output"]]
    )


def test_pil_answers_a_repeated_step_without_running_it(board: BoardProcess) -> None:
    board.ask("MODE", mode=Mode.PIL)
    board.ask("PLANT_STEP", tick=7, base_count=0, pole_count=0)
    once = board.ask("PLANT_STEP", tick=8, base_count=50, pole_count=9)
    again = board.ask("PLANT_STEP", tick=8, base_count=50, pole_count=9)
    assert once.values == again.values
    assert board.ask("STATS")["ticks"] == 2
    nack = board.ask("PLANT_STEP", tick=10, base_count=0, pole_count=0)
    assert nack["reason"] == Reason.WRONG_TICK


def test_requests_without_a_tick_do_not_starve_the_watchdog(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    """No tick feeds it in pil; in lockstep it had counted all the time spent on steps."""
    slow = "extern long clock(void); long end = clock() + 10000; while (clock() < end) { }"
    with BoardProcess(
        build(small_policy(extra=slow).write(tmp_path)), "--clock", "lockstep"
    ) as board:
        board.ask("MODE", mode=Mode.PIL)
        for tick in range(30):  # 0.3 s in all; the watchdog waits for 0.1 s
            act = board.ask("PLANT_STEP", tick=tick, base_count=0, pole_count=0)
            assert act.name == "PLANT_ACT", act
        assert board.ask("HELLO")["fault"] == Fault.NONE


def test_a_tick_that_a_busy_machine_draws_out_is_no_hang(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    """The watchdog of a virtual clock counts the firmware's own time, not the machine's."""
    naps = "extern int usleep(unsigned); for (int nap = 0; nap < 130; nap++) usleep(1000);"
    with BoardProcess(
        build(small_policy(extra=naps).write(tmp_path)), "--clock", "lockstep"
    ) as board:
        assert board.ask("STEP", until_tick=1).name == "ACK"
        hello = board.ask("HELLO")
        assert (hello["tick"], hello["fault"]) == (1, Fault.NONE)


def test_finds_its_feet_after_garbage(board: BoardProcess) -> None:
    board.ask("HELLO")
    before = board.ask("STATS")
    board.write(os.urandom(600).replace(b"\x00", b"\x01") + b"\x00\x03\x11\x22\x00")
    hello = encode("HELLO", 9)
    board.write(hello[:5])
    board.write(hello[5:])
    board.wait_for(lambda frame: frame.name == "HELLO")
    after = board.ask("STATS")
    assert after["frames_ok"] == before["frames_ok"] + 2
    assert after["frames_overlong"] == 1
    assert after["frames_corrupt"] == before["frames_corrupt"] + 1


def test_own_echo_is_ignored(board: BoardProcess) -> None:
    board.write(encode("ACK", 0, to_host=True, echo_type=1, echo_sequence=0))
    assert board.ask("STATS")["frames_unknown"] == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--clock", "sundial"],
        ["--plant-fd", "x"],
        ["--compute-us", "20000"],
        ["--clock"],
        ["--fault-at-us", "-1"],
        ["--fault", "gremlins"],
    ],
)
def test_unknown_options(elf: Path, options: list[str]) -> None:
    answer = subprocess.run([str(elf), *options], capture_output=True, text=True, timeout=20)
    assert answer.returncode == 2
    assert f"cannot take {options[0]}" in answer.stderr
    assert answer.stdout == ""


def test_plant_that_is_no_socket(elf: Path) -> None:
    with BoardProcess(elf, "--clock", "lockstep", "--plant-fd", "77") as board:
        code, errors = board.finish()
    assert code == 0
    assert "plant" in errors


def test_tick_counts_come_from_the_plant(elf: Path) -> None:
    plant = Plant()
    plant.pole = 0.2
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        board.configure()
        board.ask("STEP", until_tick=1)
        assert board.named("TICK")[0]["pole_count"] == pytest.approx(0.2 / 2 / np.pi * 4170, abs=40)
