"""The serial link: frames in and out, each counted and journalled.

One thread reads the port, stamps every frame with the host's time, writes it to the journal and
passes it on. `request` returns the answer to a request; all other frames wait for `next_frame`. A
lockstep link has no such thread: its board only sends when asked, so the caller reads, at half the
cost.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import serial

from sparsectl.common.errors import EXIT_LINK_LOST, UserError
from sparsectl.hil.journal.journal import JournalLost
from sparsectl.hil.journal.recorder import Recorder
from sparsectl.hil.link.counters import Counters
from sparsectl.protocol.client import ECHO_ADVICE, HostEnd, Question
from sparsectl.protocol.serial_line import LineStalled, SerialLine
from sparsectl.protocol.wire import Fault, Frame, Reason, State

STOP: Final = "ESTOP"
"""The message that takes precedence: it is sent before it is journalled, and even if the journal is
lost."""
ORDER_TIMEOUT_S = 0.005
"""How long a stop waits for the reading thread, which may be stuck in a write to a disk."""
REPLY_TIMEOUT_S = 0.5
ATTEMPTS = 4


class LinkLost(UserError):
    """The port vanished or the board fell silent; the message says which and what to do."""

    exit_code = EXIT_LINK_LOST


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
class _Question(Question):
    """A request whose answer the reading thread stores here."""

    inbox: queue.SimpleQueue[Received | None] = field(default_factory=queue.SimpleQueue)
    forgets: bool = False
    """True if everything received before the answer is discarded."""


class Link:
    """An open port with its reading thread. Use as a context manager; send from one thread."""

    def __init__(self, port: str, baud: int, recorder: Recorder, was_used: bool = False) -> None:
        """Open `port` and start to read.

        Args:
            port: a name that pyserial can open.
            baud: bits per second.
            recorder: receives everything that passes.
            was_used: whether the line may hold frames of an earlier session: then none counts, and
                none is recorded, before `begin`, but answers.

        Raises:
            UserError: the port cannot be opened.
        """
        self.port = port
        self.counters = Counters()
        self.received_bytes = 0
        """Of frames and noise."""
        self._recorder = recorder
        self._line = SerialLine(port, baud)
        self._end = HostEnd()
        self._frames: queue.SimpleQueue[Received | None] = queue.SimpleQueue()
        self._question: _Question | None = None
        self._lock = threading.Lock()
        self._why_lost: str | None = None
        self._journal_lost: JournalLost | None = None
        self._order = threading.Lock()
        """Held while a frame is recorded, so that no answer is recorded before its request."""
        self.board_said: tuple[State, Fault] | None = None
        """State and fault in the newest frame; None before the first."""
        self._begun = recorder.lockstep or not was_used
        self._thread: threading.Thread | None = None
        if not recorder.lockstep:
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

    @property
    def may_boot(self) -> bool:
        """Return whether the board may have been in its boot loader since the port was opened."""
        return self._line.may_boot

    def close(self) -> None:
        """Stop reading and close the port."""
        self._line.stop()
        if self._thread is not None:
            self._thread.join()
        self._line.close()
        self._record(self._recorder.flush)

    def send(self, name: str, **values: Any) -> int:
        """Send one frame; return its sequence number. A stop (`STOP`) is attempted in any case.

        Raises:
            LinkLost: the port is gone, or nobody has read it for a second.
            JournalLost: the frame, or one that came, could not be journalled; never for a stop.
        """
        if name != STOP:
            self._raise_if_lost()
        with self._lock:
            sequence, frame = self._end.encoded(name, **values)
            if name == STOP:
                self._stop(frame)
                return sequence
            self._recorder.sent(frame[1:-1])
            self._write(frame)
            self._recorder.settle()
        return sequence

    def _stop(self, frame: bytes) -> None:
        """Stop the motor first; the journal is written afterwards."""
        is_ours = self._order.acquire(timeout=ORDER_TIMEOUT_S)
        try:
            self._write(frame)
            self._record(lambda: self._recorder.sent(frame[1:-1]))
            self._record(self._recorder.settle)
        finally:
            if is_ours:
                self._order.release()

    def _write(self, frame: bytes) -> None:
        try:
            self._line.write(frame)
        except LineStalled as error:
            raise LinkLost(f"the board on {self.port} has stopped reading; reset it") from error
        except (serial.SerialException, OSError) as error:
            raise LinkLost(self._vanished(error)) from error

    def _record(self, record: Callable[[], None]) -> None:
        """Record without raising: a lost journal must prevent neither a stop nor the answer to a
        board. The error is raised to the next caller that sends a frame or waits for one."""
        try:
            record()
        except JournalLost as error:
            self._journal_lost = self._journal_lost or error

    def _raise_if_lost(self) -> None:
        if self._journal_lost is not None:
            raise self._journal_lost
        if self._why_lost is not None:
            raise LinkLost(self._why_lost)

    def send_timesync(self) -> None:
        """Send TIMESYNC with the present time, as keep-alive and to measure the round trip."""
        self.send("TIMESYNC", host_time_ns=time.monotonic_ns())

    def begin(self) -> None:
        """Discard what the line still holds of an earlier session, up to the answer to a request
        that is new. Frames are counted and journalled from there on.

        Raises:
            LinkLost: no answer, or the port is gone.
        """
        if self._begun:
            return
        asked_ns = time.monotonic_ns()

        def is_this(frame: Frame) -> bool:
            return bool(frame["host_time_ns"] == asked_ns)

        self.request("TIMESYNC", matches=is_this, forgets=True, host_time_ns=asked_ns)

    def request(
        self,
        name: str,
        *,
        timeout_s: float = REPLY_TIMEOUT_S,
        attempts: int = ATTEMPTS,
        answer: str | None = None,
        matches: Callable[[Frame], bool] = lambda frame: True,
        forgets: bool = False,
        **values: Any,
    ) -> Received:
        """Send a request and wait for its answer, asking again when none comes.

        Args:
            name: the message to send.
            timeout_s: how long to wait each time.
            attempts: how often to ask; 1 for a request that must not run twice.
            answer: the message that answers, besides ACK and NACK, if it is not the usual one.
            matches: distinguishes the answer to this request from a late one to another.
            forgets: discard the frames that came before the answer.
            values: the request's fields.

        Raises:
            Refused: the board answered NACK.
            LinkLost: no answer, or the port is gone.
        """
        question = _Question(name, answer, matches, forgets=forgets)
        self._question = question
        try:
            for _ in range(attempts):
                with self._lock:
                    question.sequences.add(self._end.next_sequence)
                self.send(name, **values)
                received = self._wait(question.inbox, timeout_s * self._recorder.patience)
                if received is not None:
                    return self._accepted(name, received)
        finally:
            self._question = None
        if self._end.hears_itself:
            raise LinkLost(f"{self.port} returns what is sent to it: {ECHO_ADVICE}")
        raise LinkLost(
            f"the board on {self.port} does not answer {name}; check cable, baud rate and firmware"
        )

    def next_frame(self, timeout_s: float) -> Received | None:
        """Return the next frame that answers no request; None if none comes in time.

        Raises:
            LinkLost: the port is gone.
            JournalLost: a frame that came could not be journalled.
        """
        if self._journal_lost is not None:
            raise self._journal_lost
        return self._wait(self._frames, timeout_s)

    def _wait(self, source: queue.SimpleQueue[Received | None], seconds: float) -> Received | None:
        if self._thread is None and seconds > 0:
            self._read_until(source, time.monotonic() + seconds)
            seconds = 0
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
        """Run the reading thread. If it fails, such as for want of memory, whoever waits for a
        frame learns of it at once."""
        try:
            while self._read_once(None):
                pass
        except Exception as error:
            self._lose(f"this program can no longer read {self.port}: {str(error) or repr(error)}")

    def _read_until(self, source: queue.SimpleQueue[Received | None], deadline_s: float) -> None:
        """Read in the caller's thread until `source` has a frame or the deadline has passed."""
        while source.empty() and self._read_once(max(0.0, deadline_s - time.monotonic())):
            pass

    def _read_once(self, timeout_s: float | None) -> bool:
        """Read what comes next; return False if nothing came or the port is gone."""
        try:
            chunk = self._line.read(timeout_s)
        except (serial.SerialException, OSError, TypeError) as error:
            # TypeError: pyserial on a descriptor that a hang-up closed under it
            self._lose(self._vanished(error))
            return False
        if chunk:
            self._take(chunk, time.monotonic_ns())
        return bool(chunk)

    def _take(self, chunk: bytes, host_ns: int) -> None:
        """Count, record and pass on the frames that a chunk completes."""
        self.received_bytes += len(chunk)
        decoder = self._end.decoder
        frames = [Received(frame, host_ns) for frame in decoder.feed(chunk)]
        if self._begun and decoder.corrupt + decoder.overlong > self.counters.corrupt:
            self._record(lambda: self._recorder.garbage(chunk, host_ns))
        self.counters.corrupt = decoder.corrupt + decoder.overlong
        for received in frames:
            self._hand_on(received)

    def _hand_on(self, received: Received) -> None:
        question, frame = self._question, received.frame
        answers = question is not None and question.is_answered_by(frame)
        if question is not None and answers and question.forgets:
            self._forget()
        if not (self._begun or answers):
            return  # of an earlier session
        with self._order:
            self._record(lambda: self._recorder.received(frame.raw, received.host_ns, answers))
        self.counters.take(frame.sequence)
        if "state" in frame.values and "fault" in frame.values:
            with suppress(ValueError):  # a number that this version does not know
                self.board_said = State(frame["state"]), Fault(frame["fault"])
        if question is not None and answers:
            question.inbox.put(received)
        else:
            self._frames.put(received)

    def _forget(self) -> None:
        """Discard queued frames. Only the reading thread fills the queue, and it calls this."""
        while not self._frames.empty():
            self._frames.get_nowait()
        if not self._begun:
            self._begun = True
            self.counters = Counters()
            self._end.decoder.corrupt = self._end.decoder.overlong = 0

    def _lose(self, why: str) -> None:
        self._why_lost = why
        self._frames.put(None)
        question = self._question
        if question is not None:
            question.inbox.put(None)

    def _vanished(self, error: Exception) -> str:
        return f"port {self.port} vanished ({_plain(error)}); check cable and supply, then retry"


def _plain(error: Exception) -> str:
    """Return the cause in a word or two; pyserial describes a hang-up in a long sentence."""
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    if not text or "returned no data" in text or isinstance(error, TypeError):
        return "hang-up"
    return text.splitlines()[0].lower()
