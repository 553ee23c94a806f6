"""Run a board in its emulator while a context lasts."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.common.processes import bound, end
from sparsectl.common.scratch import scratch_folder
from sparsectl.firmware_host.boards import Board
from sparsectl.firmware_host.emulators.emulator import PORT_PATTERN

START_TIMEOUT_S: Final = 20.0


class RunningBoard:
    """Context manager around the emulator's process; `port` is the pty of the serial line.

    The process ignores the terminal's Ctrl-C (it has its own session): the program that started it
    ends it.
    """

    def __init__(self, board: Board, elf: Path) -> None:
        """Take the firmware `elf` of `board`; nothing is started yet.

        Raises:
            UserError: nothing emulates this board.
        """
        if board.emulator is None:
            raise UserError(f"board {board.name} has no emulator; plug one in and name its --port")
        self.board, self.elf, self.emulator = board, elf, board.emulator
        self.port = ""
        self.last_words = ""
        """Text that the process printed after the port; complete when it has ended."""
        self._held: int | None = None

    def __enter__(self) -> RunningBoard:
        self._stack = ExitStack()
        try:
            scratch = self._stack.enter_context(scratch_folder("board"))
            command = bound(self.emulator.command(self.elf, scratch))
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            self._stack.close()
            raise
        try:
            self.port = self._find_port()
            # Held open: like a board on its cable, it stays when a program closes the port.
            self._held = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _find_port(self) -> str:
        """Return the path that the process prints."""
        assert self.process.stdout is not None
        descriptor, said = self.process.stdout.fileno(), ""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([descriptor], [], [], left)[0]:
                break
            part = os.read(descriptor, 4096).decode("utf-8", errors="replace")
            said += part
            if (match := PORT_PATTERN.search(said)) and said.endswith("\n"):
                return match.group(1)
            if not part:
                break
        what = said.strip().splitlines() or ["it said nothing"]
        raise UserError(f"the emulator of {self.board.name} did not start: {what[-1]}")

    def _end(self) -> None:
        process = self.process
        if self._held is not None:
            os.close(self._held)
            self._held = None
        end(process)
        if process.stdout is not None:
            self.last_words = process.stdout.read().decode("utf-8", errors="replace")
            process.stdout.close()
        self._stack.close()
