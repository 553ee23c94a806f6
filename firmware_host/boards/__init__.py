"""The boards, one module each: a new one is a file here and a line in `BOARDS`."""

from __future__ import annotations

from typing import Final

from common.errors import UserError
from firmware_host.boards.board import Board
from firmware_host.boards.host import HostBoard

__all__ = ["BOARDS", "Board", "find_board"]

BOARDS: Final[dict[str, Board]] = {board.name: board for board in (HostBoard(),)}


def find_board(name: str) -> Board:
    """The board called `name`.

    Raises:
        UserError: there is none; the message names those there are.
    """
    if name not in BOARDS:
        raise UserError(f"no board {name!r}; known: {', '.join(BOARDS)}")
    return BOARDS[name]
