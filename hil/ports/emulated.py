"""Ports with a board in its emulator: the firmware that the chip would run, with a pty as its
serial line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.hil.ports.port import OpenPort, PortRequest

PREFIX: Final = "emulated:"


class Emulated:
    """See `PortKind`. Its time is the emulator's, so only processor in the loop means anything."""

    has_virtual_clock = False
    builds = True
    has_rig = False

    def claims(self, port: str) -> bool:
        """Return whether `port` has the form emulated:BOARD."""
        return port.startswith(PREFIX)

    @contextmanager
    def open(self, request: PortRequest) -> Iterator[OpenPort]:
        """Build the firmware, and run it for as long as the context lasts.

        Raises:
            UserError: the mode is not pil, there is no such board, or nothing emulates it.
        """
        board = find_board(request.port.removeprefix(PREFIX))
        if request.mode != "pil":
            raise UserError(
                f"--mode is {request.mode}; an emulated {board.name} has no pendulum on its pins, "
                "take --mode pil"
            )
        built = build_firmware(request.policy, board, request.rig, request.firmware)
        with RunningBoard(board, Path(built["elf"])) as running:
            yield OpenPort(running.port, {"emulated": board.name})
