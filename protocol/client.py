"""A client of the wire: it sends messages, reads frames and waits for answers.

`HostEnd` is the client without a line: it numbers, encodes and decodes, for who reads and writes in
a way of his own (`hil.link.link` has a thread for it). `Client` is that with a serial line.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from sparsectl.common.errors import UserError
from sparsectl.protocol.serial_line import SerialLine
from sparsectl.protocol.wire import Decoder, Frame, encode, fields_to_board

BAUD: Final = 115_200
"""Default speed, for a pty, where any speed will do."""
PATIENCE_S: Final = 3.0
"""How long to wait for an answer; a booting board needs part of it."""
ATTEMPTS: Final = 4
ECHO_ADVICE: Final = "no board answers; connect TX to RX and RX to TX, or turn the echo off"
"""What to do about a line on which the host hears its own frames."""
ANSWERED_BY: Final = {"PLANT_STEP": "PLANT_ACT"}
"""Requests that are answered by a message of another name."""


@dataclass
class Question:
    """A request that waits for its answer."""

    name: str
    """The message that is asked by."""
    answer: str | None = None
    """The one that answers, beside ACK and NACK; None: as `ANSWERED_BY`, or the same."""
    matches: Callable[[Frame], bool] = lambda frame: True
    """Tells an answer to this request from a late one to another."""
    sequences: set[int] = field(default_factory=set)
    """Sequence numbers under which it was sent."""

    def is_answered_by(self, frame: Frame) -> bool:
        """Return whether this frame answers the question."""
        if frame.name in ("ACK", "NACK"):
            return frame["echo_sequence"] in self.sequences
        answer = self.answer or ANSWERED_BY.get(self.name, self.name)
        return frame.name == answer and self.matches(frame)


class HostEnd:
    """The host's end of the wire, without the line."""

    def __init__(self) -> None:
        self.decoder = Decoder()
        self.next_sequence = 0
        """Sequence number of the next message."""

    @property
    def hears_itself(self) -> bool:
        """Return whether frames came back that the host had sent, and none from a board."""
        return self.decoder.echoed > 0 and self.decoder.frames == 0

    def encoded(self, name: str, **values: Any) -> tuple[int, bytes]:
        """Return the next message's sequence and the bytes of its frame."""
        sequence = self.next_sequence
        self.next_sequence = (sequence + 1) & 0xFFFF
        return sequence, encode(name, sequence, **values)


class Client:
    """An open serial line to a board. Use as a context manager, from one thread."""

    def __init__(self, port: str, baud: int = BAUD) -> None:
        """Open the port.

        Raises:
            UserError: it cannot be opened.
        """
        self.port = port
        self._line = SerialLine(port, baud)
        self._end = HostEnd()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def may_boot(self) -> bool:
        """Return whether opening the port may have reset the board."""
        return self._line.may_boot

    @property
    def hears_itself(self) -> bool:
        """Return whether the line returns what is sent, and no board answers."""
        return self._end.hears_itself

    def close(self) -> None:
        """Close the port."""
        self._line.close()

    def set_baud(self, baud: int) -> None:
        """Change the line's speed; what came at the former one is forgotten."""
        self._line.set_baud(baud)
        self._end.decoder = Decoder()

    def send(self, name: str, **values: Any) -> int:
        """Send a message; its sequence.

        Raises:
            OSError: the port is gone.
        """
        sequence, frame = self._end.encoded(name, **values)
        self.write(frame)
        return sequence

    def write(self, content: bytes) -> None:
        """Send bytes that need not be a frame."""
        self._line.write(content)

    def receive(self, seconds: float) -> list[Frame]:
        """Return the frames that come next; none if none comes in time.

        Raises:
            OSError: the port is gone.
        """
        return self._end.decoder.feed(self._line.read(seconds))

    def receive_until(self, wanted: Callable[[Frame], bool], seconds: float) -> list[Frame] | None:
        """Return all frames up to one that is wanted, and what came with it; None if none comes in
        time.

        Raises:
            OSError: the port is gone.
        """
        frames: list[Frame] = []
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            new = self.receive(left_s)
            frames += new
            if any(map(wanted, new)):
                return frames
        return None

    def exchange(
        self,
        name: str,
        *,
        patience_s: float = PATIENCE_S,
        attempts: int = ATTEMPTS,
        **values: Any,
    ) -> tuple[Frame, list[Frame]]:
        """Send a request, again when nothing comes.

        Args:
            name: the request's message.
            patience_s: for the answer, all attempts together.
            attempts: how often to ask; 1 for a request that must not run twice.
            values: the request's fields.

        Returns:
            tuple: the answer, and all that came since the last attempt, the answer too.

        Raises:
            UserError: the board does not answer.
            OSError: the port is gone.
        """
        question = Question(name)
        for _ in range(attempts):
            question.sequences.add(self.send(name, **values))
            frames = self.receive_until(question.is_answered_by, patience_s / attempts)
            if frames is not None:
                return next(filter(question.is_answered_by, frames)), frames
        if self.hears_itself:
            raise UserError(f"{self.port} returns what is sent to it: {ECHO_ADVICE}")
        raise UserError(f"the board on {self.port} does not answer {name}")

    def ask(self, name: str, **values: Any) -> Frame:
        """Send as `exchange` does and return the answer alone, which may be a NACK."""
        return self.exchange(name, **values)[0]

    def configure(self, **changes: Any) -> Frame:
        """Send back what HELLO says, with `changes`; return the verdict."""
        hello = self.ask("HELLO").values
        said = {name: hello[name] for name in fields_to_board("CONFIG")}
        return self.ask("CONFIG", **(said | changes))
