"""Write the frames of a link into its journal: in which order and with which time.

A trial in real time writes each frame as it passes, with the host's clock. A lockstep trial is to
give the same bytes each time, so its journal knows no clock of the host: its records carry the
board's virtual time, and their order is that of question and answer. An event that the board sends
*behind* an answer races against the host's next question; it is written after that, always.
"""

from __future__ import annotations

from typing import Protocol

from sparsectl.hil.journal.journal import JournalWriter, Kind


class Recorder(Protocol):
    """The interface by which a link reports the bytes that pass."""

    lockstep: bool
    """True if the board sends only when asked."""
    patience: float
    """Factor by which to wait longer than usual for an answer."""

    def sent(self, packet: bytes) -> None:
        """Record a frame that is about to be sent."""

    def settle(self) -> None:
        """Write what is pending. It is called when a frame has been sent, because there is time
        until the answer comes."""

    def received(self, packet: bytes, host_ns: int, answers: bool) -> None:
        """Record a received frame; `answers` says whether it answers a request."""

    def garbage(self, chunk: bytes, host_ns: int) -> None:
        """Record bytes that contain no valid frame."""

    def flush(self) -> None:
        """Write everything; it is called when the link is closed and nothing more will come."""


class LiveRecorder:
    """Writes each frame as it passes."""

    lockstep = False
    patience = 1.0

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal

    def sent(self, packet: bytes) -> None:
        self._journal.write(Kind.TO_DEVICE, packet)

    def settle(self) -> None:
        pass

    def received(self, packet: bytes, host_ns: int, answers: bool) -> None:
        self._journal.write(Kind.FROM_DEVICE, packet, host_ns)

    def garbage(self, chunk: bytes, host_ns: int) -> None:
        self._journal.write(Kind.GARBAGE, chunk, host_ns)

    def flush(self) -> None:
        pass


class LockstepRecorder:
    """Writes in the order of question and answer, under the journal's own (virtual) time.

    And while the board computes: an answer and the next question are written together once that
    question is on its way.
    """

    lockstep = True
    patience = 20.0
    """A busy machine may be slow; asking twice would be another journal."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._asked = False
        self._held: list[bytes] = []

    def sent(self, packet: bytes) -> None:
        self._journal.write_later(Kind.TO_DEVICE, packet)
        self._asked = True
        self._release()

    def settle(self) -> None:
        self._journal.settle()

    def received(self, packet: bytes, host_ns: int, answers: bool) -> None:
        if self._asked:
            self._journal.write_later(Kind.FROM_DEVICE, packet)
            self._asked = not answers
        else:
            self._held.append(packet)

    def garbage(self, chunk: bytes, host_ns: int) -> None:
        self._journal.write(Kind.GARBAGE, chunk)

    def flush(self) -> None:
        self._release()
        self._journal.settle()

    def _release(self) -> None:
        for packet in self._held:
            self._journal.write_later(Kind.FROM_DEVICE, packet)
        self._held.clear()
