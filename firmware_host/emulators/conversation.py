"""Question and answer with a board over its pty: what measuring on an emulator takes."""

from __future__ import annotations

import os
import select
import termios
import time
import tty
from types import TracebackType
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.protocol.wire import Decoder, Frame, encode, fields_to_board

PATIENCE_S: Final = 3.0
"""For an answer; a board that boots takes part of it."""
ATTEMPTS: Final = 4
_CONFIG: Final = fields_to_board("CONFIG")
_ANSWERS: Final = {"PLANT_STEP": "PLANT_ACT"}


class Conversation:
    """A context manager around the open line. All frames that came are in `frames`."""

    def __init__(self, port: str) -> None:
        self.port = port
        self.frames: list[Frame] = []
        self._decoder = Decoder()
        self._sequence = 0

    def __enter__(self) -> Conversation:
        self._line = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._line)
        termios.tcflush(self._line, termios.TCIFLUSH)  # what was sent to nobody
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._line)

    def send(self, name: str, **values: Any) -> int:
        """Send a message; gives its sequence."""
        self._sequence += 1
        self.write(encode(name, self._sequence, **values))
        return self._sequence & 0xFFFF

    def write(self, data: bytes) -> None:
        """Send bytes that need not be a frame."""
        os.write(self._line, data)

    def ask(self, name: str, **values: Any) -> Frame:
        """Send a request, again when nothing comes; ACK, NACK or the message that answers.

        Raises:
            UserError: the board does not answer.
        """
        for _ in range(ATTEMPTS):
            sequence = self.send(name, **values)
            deadline = time.monotonic() + PATIENCE_S / ATTEMPTS
            while (left := deadline - time.monotonic()) > 0:
                for frame in self.receive(left):
                    if _answers(frame, name, sequence):
                        return frame
        raise UserError(f"the board on {self.port} does not answer {name}")

    def receive(self, seconds: float) -> list[Frame]:
        """What comes next; nothing when nothing does in time."""
        if not select.select([self._line], [], [], seconds)[0]:
            return []
        frames = self._decoder.feed(os.read(self._line, 4096))
        self.frames += frames
        return frames

    def configure(self, **changes: Any) -> Frame:
        """Say back what HELLO says, with `changes`; gives the verdict."""
        hello = self.ask("HELLO").values
        return self.ask("CONFIG", **({name: hello[name] for name in _CONFIG} | changes))


def _answers(frame: Frame, name: str, sequence: int) -> bool:
    if frame.name in ("ACK", "NACK"):
        return bool(frame["echo_sequence"] == sequence)
    return frame.name == _ANSWERS.get(name, name)
