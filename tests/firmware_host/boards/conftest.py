"""A policy that balances on an easy rig, and every board's firmware with it, built once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import BOARDS, Board
from sparsectl.firmware_host.build import build_firmware
from sparsectl.plants.rig import load_rig
from sparsectl.plants.rig_constants import RigConstants
from tests.hil.policies import EASY_POLICY, EASY_RIG, export_into
from tests.tools import need


@pytest.fixture(scope="session")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_into(EASY_POLICY, tmp_path_factory.mktemp("easy") / "policy")


@pytest.fixture(scope="session")
def rig() -> RigConstants:
    return load_rig(str(EASY_RIG)).firmware_constants()


@pytest.fixture(scope="session")
def firmware(
    easy: Path, rig: RigConstants, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The ELF of a board of the registry."""

    @cache
    def build(name: str) -> Path:
        need_board(BOARDS[name])
        folder = tmp_path_factory.mktemp("firmware") / name
        return Path(build_firmware(easy, name, rig, folder)["elf"])

    return build


def need_board(board: Board) -> None:
    """Skip the test where the board's compiler or emulator is missing (fail it in CI)."""
    if board.compilers[0] != "gcc":
        need(board.compilers[0])
    need(*(board.emulator.tools if board.emulator else ()))
