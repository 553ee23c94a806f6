"""Watchdogs that no emulator models: what the firmware writes to their registers, and when.

QEMU logs each access to a device that it lacks. That the watchdog is started as the manual has it,
and fed by control ticks alone, can be read there; that the chip then bites cannot.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.boards.microcontroller import Microcontroller
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.config_header import watchdog_us
from sparsectl.firmware_host.emulators.running import RunningBoard
from tests.firmware_host.core_library import RIG
from tests.tools import need

PATIENCE_S = 60.0
"""For a QEMU on a busy machine to boot and run three ticks."""
WRITE = re.compile(r"^(\S+): unimplemented device write \(size 4, offset (\w+), value (\w+)\)$")

Setting = Callable[[int, int], list[tuple[int, int]]]


@dataclass(frozen=True)
class Registers:
    """Where QEMU has the watchdog, how it is started, and what feeds it."""

    device: str
    offsets: range
    start: Setting
    """The writes in order, from the index of the divisor and the counts."""
    feed: tuple[int, int]


STM32 = (
    Registers(  # RM0090, "Independent watchdog": key, prescaler, reload; QEMU's I2S2ext is there
        device="I2S2ext",
        offsets=range(0x10),
        start=lambda divisor, counts: [
            *((0, 0xCCCC), (0, 0x5555), (4, divisor), (8, counts), (0, 0xAAAA)),
        ],
        feed=(0, 0xAAAA),
    )
)
NRF51 = Registers(  # reference manual, "Watchdog timer": CRV, RREN, START; RR0 takes one word alone
    device="nrf51_soc.io",
    offsets=range(0x10000, 0x11000),
    start=lambda divisor, counts: [(0x10504, counts - 1), (0x10508, 1), (0x10000, 1)],
    feed=(0x10600, 0x6E524635),
)
CHIPS = {"stm32f405": STM32, "microbit": NRF51}


class Logging:
    """An emulator that also writes down what reaches devices that it lacks."""

    def __init__(self, emulator: Any, log: Path) -> None:
        self._emulator, self._log = emulator, log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._emulator, name)

    def command(self, elf: Path, scratch: Path) -> list[str]:
        return [*self._emulator.command(elf, scratch), "-d", "unimp", "-D", str(self._log)]


def writes(log: Path, chip: Registers) -> list[tuple[int, int]]:
    lines = map(WRITE.match, log.read_text().splitlines() if log.exists() else [])
    found = [(line[1], int(line[2], 16), int(line[3], 16)) for line in lines if line]
    return [(at, value) for name, at, value in found if name == chip.device and at in chip.offsets]


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("name", CHIPS)
def test_it_is_started_as_the_manual_says_and_fed_by_ticks_alone(
    policy_dir: Path, tmp_path: Path, name: str, hangs: bool
) -> None:
    """A policy that never ends holds up the first control tick: nothing feeds the watchdog then."""
    need("qemu-system-arm", "arm-none-eabi-gcc")
    board, chip, log = find_board(name), CHIPS[name], tmp_path / "unimplemented.log"
    assert isinstance(board, Microcontroller) and board.watchdog is not None
    policy = shutil.copytree(policy_dir, tmp_path / "policy")
    if hangs:
        source = (policy / "policy.c").read_text()
        looped, count = re.subn(
            r"(void policy_act\([^)]*\)\s*\{)", r"\1\n    for (;;) {}\n", source
        )
        assert count == 1
        (policy / "policy.c").write_text(looped)
    built = build_firmware(policy, board, RIG, tmp_path / "firmware")
    start = chip.start(*board.watchdog.setting(watchdog_us(RIG.period_us)))
    logged = replace(board, emulator=Logging(board.emulator, log))
    with RunningBoard(logged, Path(built["elf"])):
        patience_s = time.monotonic() + PATIENCE_S
        while len(writes(log, chip)) < len(start) + (0 if hangs else 3):
            assert time.monotonic() < patience_s, f"only {writes(log, chip)} in {log}"
            time.sleep(0.1)
        time.sleep(0.5 if hangs else 0.0)  # ticks go on meanwhile, or nothing does
    reported = writes(log, chip)
    assert reported[: len(start)] == start
    assert set(reported[len(start) :]) == (set() if hangs else {chip.feed})
