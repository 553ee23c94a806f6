"""A board that restarts in the middle of a run is reported as such, in every mode and phase."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sparsectl.common.errors import EXIT_FAULT, EXIT_LINK_LOST, UserError
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.faults.line import open_pty
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.recorder import LockstepRecorder
from sparsectl.hil.simulation.virtual_rig import VirtualRig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.rig import load_rig
from sparsectl.protocol.wire import Decoder, Frame, State
from tests.hil.policies import RIG

Short = Callable[..., TrialConfig]
RESTARTED = "^the board on .* restarted in the middle of the run; look at its supply"


class RestartingBoard:
    """A line to a firmware's process that is killed and started anew once it has said `last`."""

    def __init__(self, elf: str, last: Callable[[Frame], bool]) -> None:
        self._elf, self._last = elf, last
        self._decoder = Decoder()
        self._host, self.address = open_pty()
        self._held = os.open(self.address, os.O_RDWR | os.O_NOCTTY)  # the port outlives its host
        self._stop, self._stopped = os.pipe()
        self.restarts = 0
        self._start()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _start(self) -> None:
        self._firmware = subprocess.Popen([self._elf], stdout=subprocess.PIPE, text=True)
        assert self._firmware.stdout is not None
        self._board = os.open(self._firmware.stdout.readline().split()[1], os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._board)

    def _end(self) -> None:
        os.close(self._board)
        self._firmware.kill()
        self._firmware.communicate()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._host, self._board, self._stop], [], [])
            if self._stop in ready:
                return
            if self._host in ready:
                os.write(self._board, os.read(self._host, 4096))
            if self._board in ready:
                self._pass_on(os.read(self._board, 4096))

    def _pass_on(self, data: bytes) -> None:
        """Up to the frame that is its last word."""
        for index in range(len(data)):
            os.write(self._host, data[index : index + 1])
            frames = self._decoder.feed(data[index : index + 1])
            if self.restarts == 0 and any(map(self._last, frames)):
                self.restarts += 1
                self._end()
                self._start()
                return

    def close(self) -> None:
        os.close(self._stopped)
        self._thread.join()
        self._end()
        os.close(self._held)
        os.close(self._host)
        os.close(self._stop)


@contextmanager
def restarting(policy: Path, folder: Path, last: Callable[[Frame], bool]) -> Iterator[str]:
    constants = load_rig(RIG).firmware_constants()
    board = RestartingBoard(str(build_firmware(policy, "host", constants, folder)["elf"]), last)
    try:
        yield board.address
    finally:
        board.close()
    assert board.restarts == 1


def ends(config: TrialConfig, words: str, code: int) -> dict[str, Any] | None:
    """The trial ends so; what its journal says of the end, None where it was never armed."""
    with pytest.raises(UserError, match=words) as caught:
        run_trial(config)
    assert caught.value.exit_code == code and "\n" not in str(caught.value)
    assert config.out is not None
    if not config.out.exists():
        return None
    journal = read_journal(config.out / "journal.bin")
    assert journal.dropped_bytes == 0
    (note,) = journal.notes("end")
    return dict(note)


def test_in_the_loop(short: Short, timid: Path, firmware: Path) -> None:
    """It forgets its mode, so that it refuses the next PLANT_STEP."""
    last = lambda frame: frame.name == "PLANT_ACT" and frame["tick"] == 60  # noqa: E731
    with restarting(timid, firmware, last) as port:
        end = ends(short(port=port, mode="pil", clock="fast"), RESTARTED, EXIT_LINK_LOST)
    assert end is not None and "restarted" in end["why"]


@pytest.mark.parametrize("state", [State.HOMING, State.ACTIVE])
def test_by_its_own_clock(short: Short, timid: Path, firmware: Path, state: State) -> None:
    """It falls silent, and answers as one that was never configured."""
    last = lambda frame: frame.name == "TICK" and frame["state"] == state  # noqa: E731
    with restarting(timid, firmware, last) as port:
        end = ends(short(port=port), RESTARTED, EXIT_LINK_LOST)
    assert (end is None) == (state == State.HOMING)


def failing(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The virtual rig's board fails at 1.2 s of its clock, when the policy drives."""
    start = VirtualRig._start_firmware

    def start_failing(rig: VirtualRig, command: list[str], descriptors: tuple[int, ...]) -> str:
        return start(rig, [*command, "--fault", fault, "--fault-at-us", "1200000"], descriptors)

    monkeypatch.setattr(VirtualRig, "_start_firmware", start_failing)


@pytest.mark.parametrize("mode", ["device", "host"])
def test_tick_by_tick(short: Short, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """It takes the steps and tells of none; the host would have stepped it for ever."""
    failing(monkeypatch, "reset")
    end = ends(short(mode=mode), RESTARTED, EXIT_LINK_LOST)
    assert end is not None and end["fault"] == "ESTOP"


def test_by_its_watchdog(short: Short, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a fault of the board's, and stays latched; its silence is not what the host tells."""
    monkeypatch.setattr(LockstepRecorder, "patience", 0.5)  # nobody answers the STEP: no long wait
    failing(monkeypatch, "stop-ticks")
    words = "^the board stopped the trial: WATCHDOG .*it has restarted"
    end = ends(short(), words, EXIT_FAULT)
    assert end is not None and end["fault"] == "WATCHDOG"
