"""What only the chip's own hardware does: the watchdog's reset, and how deep the stack goes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.protocol.client import Client
from sparsectl.protocol.wire import Fault, Mode, State
from tests.firmware_host.boards.conftest import need_board
from tests.firmware_host.small_policy import small_policy
from tests.hil.policies import EASY_POLICY

AT_A_QUARTER_TURN = "if (((const volatile float *)observation)[22] > 0.9f) {{ {} }}"
"""The pole's sine, in the newest frame."""
QUARTER_TURN = -1042
HANG = "for (;;) {}"
STOP_TIMER_0 = "*(volatile unsigned char *)0x45 = 0;"  # TCCR0B: no clock
STOP_OVERFLOWS = "*(volatile unsigned char *)0x6E = 0;"  # TIMSK0
STOP_SYSTICK = "*(volatile unsigned *)0xE000E010 = 0;"
STOP_SYSTICK_INTERRUPT = "*(volatile unsigned *)0xE000E010 = 5;"
SET_BACK_CYCLES = '__asm__ volatile("csrwi mcycle, 0");'

AGAIN_S = 5.0
"""After so long a board that went on has its clock or its loop spoilt once more."""

WATCHDOG, CLOCK = (State.FAULT, Fault.WATCHDOG), (State.FAULT, Fault.CLOCK)
RESET = (State.SAFE, Fault.NONE)
"""Of a board that does not say why it was reset."""


@pytest.mark.parametrize(
    ("name", "spoils", "ends"),
    [
        ("arduino-mega2560", HANG, WATCHDOG),
        ("arduino-mega2560", STOP_TIMER_0, WATCHDOG),
        ("arduino-mega2560", STOP_OVERFLOWS, WATCHDOG),
        ("mps2-an386", HANG, RESET),
        ("mps2-an386", STOP_SYSTICK, RESET),
        ("mps2-an386", STOP_SYSTICK_INTERRUPT, RESET),
        # QEMU has no watchdog of this one: its second clock finds what went wrong with the first
        ("hifive1", SET_BACK_CYCLES, CLOCK),
    ],
)
def test_a_board_that_hangs_or_whose_ticks_stop_ends_by_itself(
    name: str, spoils: str, ends: tuple[State, Fault], rig: RigConstants, tmp_path: Path
) -> None:
    board = BOARDS[name]
    need_board(board)
    extra = AT_A_QUARTER_TURN.format(spoils)
    policy = small_policy(extra=extra).write(tmp_path / "policy")
    built = build_firmware(policy, board, rig, tmp_path / "firmware")
    with RunningBoard(board, Path(built["elf"])) as running, Client(running.port) as line:
        line.ask("MODE", mode=Mode.PIL)
        line.ask("PLANT_STEP", tick=1, base_count=0, pole_count=0)
        while line.ask("STATS")["uptime_us"] < 1_000_000:
            time.sleep(0.05)  # two windows of clocks that agree
        began = time.monotonic()
        while (found := now(line)) != ends:
            waited_s = time.monotonic() - began
            assert waited_s < 120, found
            if found[0] == State.BOOT:
                # The emulator may have lost it, and the same tick runs once. On a busy machine it
                # may also have come before the clocks were known, which a later tick does not.
                tick = 2 + int(waited_s / AGAIN_S)
                line.send("PLANT_STEP", tick=tick, base_count=0, pole_count=QUARTER_TURN)
            time.sleep(0.2)
        if ends != CLOCK:
            assert line.ask("HELLO")["mode"] == Mode.DEVICE  # forgotten by the reset


def now(line: Client) -> tuple[State, Fault]:
    hello = line.ask("HELLO")
    in_the_loop = hello["mode"] == Mode.PIL and hello["state"] == State.SAFE
    return (State.BOOT if in_the_loop else State(hello["state"])), Fault(hello["fault"])


def test_a_board_whose_ticks_are_too_slow_still_hears_the_host(
    rig: RigConstants, tmp_path: Path
) -> None:
    """Every weight in float on a Cortex-M0. Built unmeasured, or it would be refused."""
    board = BOARDS["microbit"]
    need_board(board)
    export_policy(
        ExportConfig(model=EASY_POLICY, out=tmp_path / "policy", encoding="dense", observations=50)
    )
    built = build_firmware(tmp_path / "policy", board, rig, tmp_path / "firmware")
    with RunningBoard(board, Path(built["elf"])) as running, Client(running.port) as line:
        for _ in range(5):
            assert line.ask("HELLO")["board"] == "microbit"
        assert line.ask("BENCH", index=0)["inference_ns"] > rig.period_us * 1000
        assert line.ask("ESTOP").name == "ACK"


@pytest.mark.parametrize("name", ["arduino-uno", "arduino-mega2560"])
def test_the_stack_stays_within_what_the_board_allows(
    name: str, firmware: Callable[[str], Path]
) -> None:
    """On simavr, which sees each instruction; the answers with the most to say, and a run."""
    elf = firmware(name)
    with RunningBoard(BOARDS[name], elf) as running:
        with Client(running.port) as line:
            assert line.configure().name == "ACK"
            line.ask("BENCH", index=0)
            line.ask("STATS")
            line.ask("MODE", mode=Mode.PIL)
            assert line.configure().name == "ACK"
            line.ask("HOME")
            for tick in range(1, 60):
                line.ask("PLANT_STEP", tick=tick, base_count=0, pole_count=0)
            line.ask("ARM", nonce=line.ask("HELLO")["arm_nonce"])
            act = line.ask("PLANT_STEP", tick=60, base_count=0, pole_count=0)
            assert act["state"] == State.ACTIVE
            line.ask("HELLO")
    deepest = re.search(r"STACK (\d+)", running.last_words)
    assert deepest is not None and 500 < int(deepest.group(1)) <= BOARDS[name].stack_bytes
