"""A short soak: trials on one powered board, with kills, noise and pauses in between."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.fault_matrix import soak as soaking
from sparsectl.hil.fault_matrix.soak import Board, soak
from sparsectl.hil.journal.journal import JournalWriter
from sparsectl.hil.journal.recorder import LiveRecorder
from sparsectl.hil.link.link import Link
from sparsectl.hil.simulation.plant_server import PlantStart
from sparsectl.plants.rig import load_rig
from tests.hil.policies import EASY_RIG


@pytest.fixture
def config(easy: Path) -> TrialConfig:
    return TrialConfig(
        policy=easy,
        rig=str(EASY_RIG),
        clock="realtime",
        seconds=0.5,
        swing_up_limit_s=1.0,
        disturbances=0,
        report=False,
    )


def test_whatever_happens_to_a_trial_the_motor_stops(
    easy: Path, config: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = load_rig(str(EASY_RIG)).firmware_constants()
    built = build_firmware(easy, "host", constants, tmp_path / "firmware")
    monkeypatch.setattr(soaking, "EVENTS", ("kill_host", "kill_board", "noise", "silent_line"))
    with Board(Path(built["elf"]), PlantStart(str(EASY_RIG), 0, False)) as board:
        rough = soak(board, config, tmp_path, trials=3, seed=1)
        monkeypatch.setattr(soaking, "EVENTS", ("none",))
        quiet = soak(board, config, tmp_path / "firmware", trials=3, seed=1)
    assert not rough.wrong and not quiet.wrong, (rough, quiet)
    # In real time: a machine that is busy elsewhere may end one of them in a fault.
    assert all(trial.armed and trial.whole for trial in quiet.trials), quiet
    assert quiet.drives > 0


def test_a_board_that_fell_is_well_again_though_its_host_spoke_all_the_while(
    easy: Path, tmp_path: Path
) -> None:
    """The pump once held a descriptor that the fallen board's successor had for its plant."""
    constants = load_rig(str(EASY_RIG)).firmware_constants()
    built = build_firmware(easy, "host", constants, tmp_path / "firmware")
    ended, journal = threading.Event(), JournalWriter(tmp_path / "journal.bin", {})
    with (
        Board(Path(built["elf"]), PlantStart(str(EASY_RIG), 0, False)) as board,
        Link(board.address, 115200, LiveRecorder(journal)) as link,
    ):
        for _ in range(25):
            speaker = threading.Thread(target=_speak, args=(link, ended))
            ended.clear()
            speaker.start()
            board.kill()
            ended.set()
            speaker.join()
            before = link.request("STATS").frame["ticks"]
            while link.request("STATS").frame["ticks"] == before:
                assert not board.has_ended  # a board that waits for its plant in vain ends
        assert not board.has_ended


def _speak(link: Link, ended: threading.Event) -> None:
    while not ended.is_set():
        link.send("HELLO")
        time.sleep(0.0005)


TRIAL = soaking._trial
PYTEST_MARK = "PYTEST_CURRENT_TEST"
"""NiceGUI serves otherwise where it sees this variable, which children inherit."""


def outside_pytest(config: TrialConfig) -> None:
    os.environ.pop(PYTEST_MARK, None)
    TRIAL(config)


class Passerby:
    """Opens no page and presses nothing, as where Chromium takes too long on a busy machine."""

    def arm(self, url: str) -> bool:
        return False

    def leave(self) -> None:
        pass


def test_a_trial_that_nobody_armed_is_ended_by_ctrl_c_with_the_motor_never_on(
    easy: Path, config: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for Arm as long as it takes, and a soak once took that for a trial that hangs."""
    constants = load_rig(str(EASY_RIG)).firmware_constants()
    built = build_firmware(easy, "host", constants, tmp_path / "firmware")
    monkeypatch.setattr(soaking, "EVENTS", ())
    monkeypatch.setattr(soaking, "PAGE_EVENTS", ("close_page",))
    monkeypatch.setattr(soaking, "_trial", outside_pytest)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))  # where the child finds this file
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell's background job has it
    try:
        with Board(Path(built["elf"]), PlantStart(str(EASY_RIG), 0, False)) as board:
            left = soak(board, config, tmp_path, trials=1, seed=1, person=Passerby())
    finally:
        signal.signal(signal.SIGINT, before)
    assert [(each.code, each.armed) for each in left.trials] == [(130, False)], left.wrong
    assert not left.wrong and left.drives == 0
