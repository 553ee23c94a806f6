"""The boards, one module each: a new one is a file here and a line in `BOARDS`."""

from __future__ import annotations

from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards.arduino_mega2560 import ARDUINO_MEGA2560
from sparsectl.firmware_host.boards.arduino_uno import ARDUINO_UNO
from sparsectl.firmware_host.boards.board import Board
from sparsectl.firmware_host.boards.hifive1 import HIFIVE1
from sparsectl.firmware_host.boards.host import HostBoard
from sparsectl.firmware_host.boards.microbit import MICROBIT
from sparsectl.firmware_host.boards.mps2_an386 import MPS2_AN386
from sparsectl.firmware_host.boards.nucleo_f446re import NUCLEO_F446RE
from sparsectl.firmware_host.boards.stm32f405 import STM32F405

__all__ = ["BOARDS", "Board", "find_board"]

_ALL: Final[tuple[Board, ...]] = (
    HostBoard(),
    STM32F405,
    NUCLEO_F446RE,
    MPS2_AN386,
    MICROBIT,
    ARDUINO_UNO,
    ARDUINO_MEGA2560,
    HIFIVE1,
)

BOARDS: Final[dict[str, Board]] = {board.name: board for board in _ALL}


def find_board(name: str) -> Board:
    """Return the board called `name`.

    Raises:
        UserError: there is none; the message names those there are.
    """
    if name not in BOARDS:
        raise UserError(f"no board {name!r}; known: {', '.join(BOARDS)}")
    return BOARDS[name]
