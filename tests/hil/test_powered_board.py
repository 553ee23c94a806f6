"""Trials one after another on a board that stays powered, whatever the one before left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.plants.rig import load_rig
from tests.firmware_host.boards.conftest import need_board
from tests.hil.policies import EASY_RIG
from tests.hil.powered import IN_THE_LOOP, LEFT, STOOD, next_trial

BUSY = "the board stopped the trial: COMMAND_LATE"
"""How host mode ends on a machine that is too busy for it; no refusal either."""


@pytest.fixture(scope="module", params=["host", "arduino-uno"])
def powered(
    request: pytest.FixtureRequest, easy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBoard]:
    board = BOARDS[request.param]
    need_board(board)
    rig = load_rig(str(EASY_RIG)).firmware_constants()
    built = build_firmware(easy, board, rig, tmp_path_factory.mktemp("powered") / "firmware")
    with RunningBoard(board, Path(built["elf"])) as running:
        yield running


def test_no_trial_is_refused_for_what_an_earlier_one_left(
    powered: RunningBoard, easy: Path, tmp_path: Path
) -> None:
    for index in range(len(LEFT)):
        result = next_trial(powered, easy, tmp_path / str(index), index)
        assert result["ended"].startswith((STOOD, BUSY, IN_THE_LOOP))
