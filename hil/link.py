"""The serial link: frames in and out, each counted and journalled.

One thread reads the port, gives every frame the host's time, writes it to the journal and hands it
on. Whoever asks a question (`request`) gets its answer; all else waits in `next_frame`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

import serial

from common.errors import UserError
from firmware_host.wire import Decoder, Frame, Reason, encode
from hil.journal import JournalWriter, Kind

READ_TIMEOUT_S = 0.1
WRITE_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 0.5
ATTEMPTS = 4
REMEMBERED = 1024
"""Sequence numbers of lost frames that may still come late."""


class LinkLost(UserError):
    """The port vanished or the board fell silent; the message says which and what to do."""


class Refused(UserError):
    """The board answered NACK."""

    def __init__(self, message: str, reason: Reason | None) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Received:
    """A frame and the host's monotonic time at which its last byte was read."""

    frame: Frame
    host_ns: int


@dataclass
class Counters:
    """What became of the frames from the device."""

    received: int = 0
    lost: int = 0
    duplicate: int = 0
    late: int = 0
    corrupt: int = 0
    _expected: int | None = field(default=None, repr=False)
    _missing: dict[int, None] = field(default_factory=dict, repr=False)

    def take(self, sequence: int) -> None:
        """Count a frame by its sequence number, which the board raises by one a frame."""
        self.received += 1
        expected = sequence if self._expected is None else self._expected
        ahead = (sequence - expected) & 0xFFFF
        if ahead < 0x8000:
            self.lost += ahead
            for offset in range(max(0, ahead - REMEMBERED), ahead):
                self._missing[(expected + offset) & 0xFFFF] = None
            self._forget()
            self._expected = (sequence + 1) & 0xFFFF
        elif sequence in self._missing:
            del self._missing[sequence]
            self.lost -= 1
            self.late += 1
        else:
            self.duplicate += 1

    def to_json(self) -> dict[str, int]:
        """The counts as plain JSON."""
        return {key: value for key, value in asdict(self).items() if not key.startswith("_")}

    def _forget(self) -> None:
        while len(self._missing) > REMEMBERED:
            del self._missing[next(iter(self._missing))]


@dataclass
class _Question:
    """A request that waits for its answer."""

    name: str
    sequences: set[int]
    matches: Callable[[Frame], bool]
    answer: queue.SimpleQueue[Received | None]


def open_port(port: str, baud: int) -> serial.SerialBase:
    """Open a serial port (device path, pty, socket:// or rfc2217://) for this process alone.

    Raises:
        UserError: no such port, no permission, in use by another program, or a speed it refuses.
    """
    try:
        opened = serial.serial_for_url(
            port,
            baudrate=baud,
            timeout=READ_TIMEOUT_S,
            write_timeout=WRITE_TIMEOUT_S,
            exclusive=True if "://" not in port else None,
        )
    except (serial.SerialException, OSError, ValueError) as error:
        raise UserError(_why_not(port, baud, error)) from error
    opened.reset_input_buffer()  # what an earlier session left in the line is not ours
    return opened


def _why_not(port: str, baud: int, error: Exception) -> str:
    text = str(error).replace("\n", " ")
    if "lock" in text or "Resource busy" in text or "Device or resource busy" in text:
        return f"port {port} is in use by another program; close it (a serial monitor?) and retry"
    if "No such file" in text:
        return (
            f"no port {port}; plug the board in and see `sparsectl doctor`, or use --port virtual"
        )
    if "Permission denied" in text:
        return f"no permission for port {port}; join its group (dialout) and log in again"
    return f"cannot open port {port} at {baud} baud: {text}"


class Link:
    """An open port with its reading thread. Use as a context manager; send from one thread."""

    def __init__(self, port: str, baud: int, journal: JournalWriter) -> None:
        """Open `port` and start to read.

        Raises:
            UserError: the port cannot be opened.
        """
        self.port = port
        self.counters = Counters()
        self._journal = journal
        self._serial = open_port(port, baud)
        self._decoder = Decoder()
        self._frames: queue.SimpleQueue[Received | None] = queue.SimpleQueue()
        self._question: _Question | None = None
        self._lock = threading.Lock()
        self._sequence = 0
        self._why_lost: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._read, name="link", daemon=True)
        self._thread.start()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and close the port."""
        self._closing = True
        self._thread.join()
        self._serial.close()

    def send(self, name: str, **values: Any) -> int:
        """Send one frame; returns its sequence number.

        Raises:
            LinkLost: the port is gone, or nobody has read it for a second.
        """
        if self._why_lost is not None:
            raise LinkLost(self._why_lost)
        with self._lock:
            sequence = self._sequence
            self._sequence = (sequence + 1) & 0xFFFF
            frame = encode(name, sequence, **values)
            self._journal.write(Kind.TO_DEVICE, frame[1:-1])
            try:
                self._serial.write(frame)
            except serial.SerialTimeoutException as error:
                raise LinkLost(
                    f"the board on {self.port} reads nothing any more; reset it"
                ) from error
            except (serial.SerialException, OSError) as error:
                raise LinkLost(self._vanished(error)) from error
        return sequence

    def send_timesync(self) -> None:
        """Send TIMESYNC with the present time: the keep-alive and the measure of round trips."""
        self.send("TIMESYNC", host_time_ns=time.monotonic_ns())

    def request(
        self,
        name: str,
        *,
        timeout_s: float = REPLY_TIMEOUT_S,
        attempts: int = ATTEMPTS,
        answer: str | None = None,
        matches: Callable[[Frame], bool] = lambda frame: True,
        **values: Any,
    ) -> Received:
        """Send a request and wait for its answer, asking again when none comes.

        Args:
            name: the request's message.
            timeout_s: how long to wait each time.
            attempts: how often to ask; 1 for a request that must not run twice.
            answer: the message that answers, beside ACK and NACK; the same name when not given.
            matches: tells an answer to this request from a late one to another.
            values: the request's fields.

        Raises:
            Refused: the board answered NACK.
            LinkLost: no answer, or the port is gone.
        """
        question = _Question(answer or name, set(), matches, queue.SimpleQueue())
        self._question = question
        try:
            for _ in range(attempts):
                with self._lock:
                    question.sequences.add(self._sequence)
                self.send(name, **values)
                received = self._wait(question.answer, timeout_s)
                if received is not None:
                    return self._accepted(name, received)
        finally:
            self._question = None
        raise LinkLost(
            f"the board on {self.port} does not answer {name}; check cable, baud rate and firmware"
        )

    def next_frame(self, timeout_s: float) -> Received | None:
        """The next frame that answers no request; None when none comes in time.

        Raises:
            LinkLost: the port is gone.
        """
        return self._wait(self._frames, timeout_s)

    def _wait(self, source: queue.SimpleQueue[Received | None], seconds: float) -> Received | None:
        try:
            received = source.get(timeout=seconds)
        except queue.Empty:
            received = None
            if self._why_lost is None:
                return None
        if received is None:
            raise LinkLost(self._why_lost or f"the link on {self.port} was closed")
        return received

    def _accepted(self, name: str, received: Received) -> Received:
        if received.frame.name != "NACK":
            return received
        number = int(received.frame["reason"])
        reason = Reason(number) if number in set(Reason) else None
        word = reason.name if reason else f"reason {number}"
        raise Refused(f"the board refused {name}: {word}", reason)

    def _read(self) -> None:
        while not self._closing:
            try:
                first = self._serial.read(1)
                chunk = first + self._serial.read(self._serial.in_waiting) if first else b""
            except (serial.SerialException, OSError, TypeError) as error:
                # TypeError: pyserial on a descriptor that a hang-up closed under it
                self._lose(self._vanished(error))
                return
            if chunk and not self._take(chunk, time.monotonic_ns()):
                return

    def _take(self, chunk: bytes, host_ns: int) -> bool:
        """Count, journal and hand on what a chunk completes; False when the journal failed."""
        decoder = self._decoder
        frames = decoder.feed(chunk)
        try:
            if decoder.corrupt + decoder.overlong > self.counters.corrupt:
                self._journal.write(Kind.GARBAGE, chunk, host_ns)
            for frame in frames:
                self._journal.write(Kind.FROM_DEVICE, frame.raw, host_ns)
        except UserError as error:
            self._lose(str(error))
            return False
        self.counters.corrupt = decoder.corrupt + decoder.overlong
        for frame in frames:
            self.counters.take(frame.sequence)
            self._hand_on(Received(frame, host_ns))
        return True

    def _hand_on(self, received: Received) -> None:
        question, frame = self._question, received.frame
        if question is not None and _answers(frame, question):
            question.answer.put(received)
        else:
            self._frames.put(received)

    def _lose(self, why: str) -> None:
        self._why_lost = why
        self._frames.put(None)
        question = self._question
        if question is not None:
            question.answer.put(None)

    def _vanished(self, error: Exception) -> str:
        return f"port {self.port} vanished ({_plain(error)}); check cable and supply, then retry"


def _answers(frame: Frame, question: _Question) -> bool:
    if frame.name in ("ACK", "NACK"):
        return frame["echo_sequence"] in question.sequences
    return frame.name == question.name and question.matches(frame)


def _plain(error: Exception) -> str:
    """The cause in a word or two; pyserial tells of a hang-up in a sentence of its own."""
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    if not text or "returned no data" in text or isinstance(error, TypeError):
        return "hang-up"
    return text.splitlines()[0].lower()
