from __future__ import annotations

import os
import pty
import random
import select
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from sparsectl.common.errors import UserError
from sparsectl.hil.drives import safety
from sparsectl.hil.drives.presence import Presence
from sparsectl.hil.journal.journal import JournalWriter, Kind, read_journal
from sparsectl.hil.journal.recorder import LiveRecorder, LockstepRecorder
from sparsectl.hil.link.discovery import find_boards
from sparsectl.hil.link.link import Link, LinkLost, Refused
from sparsectl.protocol.client import Client
from sparsectl.protocol.wire import MESSAGES, Decoder, Frame, Reason, decode, encode

EVENT = {"time_us": 0, "previous": 1, "state": 2, "fault": 0}


class BoardEnd:
    """The board's end of a pty: says what a test wants, answers what the test sets."""

    def __init__(self) -> None:
        self.descriptor, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        self.sequence = 0
        self.heard: list[Frame] = []
        self._decoder = Decoder(to_host=False)

    def frame(self, tick: int, sequence: int | None = None) -> bytes:
        number = self.sequence if sequence is None else sequence
        self.sequence = number + 1
        return encode("EVENT", number, to_host=True, tick=tick, **EVENT)

    def write(self, content: bytes) -> None:
        os.write(self.descriptor, content)

    def hear(self) -> Frame:
        while not self.heard:
            self.heard += self._decoder.feed(os.read(self.descriptor, 4096))
        return self.heard.pop(0)

    def ack(self, frame: Frame, reason: Reason | None = None) -> None:
        number = next(message.id for message in MESSAGES if message.name == frame.name)
        echo = {"echo_type": number, "echo_sequence": frame.sequence}
        if reason is None:
            self.write(encode("ACK", self.sequence, to_host=True, **echo))
        else:
            self.write(encode("NACK", self.sequence, to_host=True, reason=int(reason), **echo))
        self.sequence += 1

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@pytest.fixture
def board() -> Iterator[BoardEnd]:
    end = BoardEnd()
    yield end
    end.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalWriter]:
    with JournalWriter(tmp_path / "journal.bin", {}) as writer:
        yield writer


def ticks_heard(link: Link, until: int) -> list[int]:
    heard: list[int] = []
    while not heard or heard[-1] != until:
        received = link.next_frame(5.0)
        assert received is not None, f"only {len(heard)} frames came"
        heard.append(received.frame["tick"])
    return heard


def test_frames_survive_garbage_between_them(board: BoardEnd, journal: JournalWriter) -> None:
    dice = random.Random(5)
    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        for tick in range(200):
            noise = bytes(dice.randrange(256) for _ in range(dice.randrange(40)))
            board.write(noise + board.frame(tick))
            if tick % 20 == 19:
                assert ticks_heard(link, tick) == list(range(tick - 19, tick + 1))
        assert link.counters.lost == link.counters.duplicate == link.counters.late == 0
        assert link.counters.corrupt > 50
        corrupt = link.counters.corrupt
    records = read_journal(journal.path).records
    assert sum(record.kind is Kind.FROM_DEVICE for record in records) == 200
    assert 0 < sum(record.kind is Kind.GARBAGE for record in records) <= corrupt


def test_each_fate_of_a_frame_is_counted(board: BoardEnd, journal: JournalWriter) -> None:
    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        for sequence in (65533, 65534, 65534, 1, 2, 0, 3):  # 65535 and 0 missing, 0 late
            board.write(board.frame(sequence, sequence))
        ticks_heard(link, 3)
        counters = link.counters.to_json()
    assert counters == {"received": 7, "lost": 1, "duplicate": 1, "late": 1, "corrupt": 0}


def test_a_request_is_asked_again_until_it_is_answered(
    board: BoardEnd, journal: JournalWriter
) -> None:
    def answer_the_third() -> None:
        board.hear()
        board.hear()
        board.write(board.frame(7))  # something else comes between
        board.ack(board.hear())

    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        thread = threading.Thread(target=answer_the_third)
        thread.start()
        assert link.request("HOME", timeout_s=0.2).frame.name == "ACK"
        thread.join()
        assert ticks_heard(link, 7) == [7]


def test_an_answer_to_the_first_asking_still_counts(
    board: BoardEnd, journal: JournalWriter
) -> None:
    def answer_late() -> None:
        first = board.hear()
        board.hear()
        board.ack(first)

    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        thread = threading.Thread(target=answer_late)
        thread.start()
        assert link.request("HOME", timeout_s=0.2).frame.name == "ACK"
        thread.join()


def test_a_refusal_names_its_reason(board: BoardEnd, journal: JournalWriter) -> None:
    thread = threading.Thread(target=lambda: board.ack(board.hear(), Reason.WRONG_PERIOD))
    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        thread.start()
        with pytest.raises(Refused, match="refused HOME: WRONG_PERIOD"):
            link.request("HOME")
        thread.join()


def test_a_silent_board_gets_one_line(board: BoardEnd, journal: JournalWriter) -> None:
    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        with pytest.raises(LinkLost, match="does not answer HELLO") as caught:
            link.request("HELLO", timeout_s=0.01, attempts=2)
    assert board.path in str(caught.value) and "\n" not in str(caught.value)


def test_a_line_that_echoes_is_named(board: BoardEnd, journal: JournalWriter) -> None:
    """TX joined to RX, or a modem that echoes: nothing is wrong with baud rate or firmware."""
    ends = threading.Event()

    def echo() -> None:
        while not ends.is_set():
            if select.select([board.descriptor], [], [], 0.05)[0]:
                board.write(os.read(board.descriptor, 4096))

    thread = threading.Thread(target=echo)
    keeps_open = os.open(board.path, os.O_RDWR | os.O_NOCTTY)
    thread.start()
    try:
        with Link(board.path, 230400, LiveRecorder(journal)) as link:
            with pytest.raises(LinkLost, match="returns what is sent to it: no board answers"):
                link.request("HELLO", timeout_s=0.1, attempts=2)
        [found] = find_boards([board.path], 230400, patience_s=0.5)
        assert "returns what is sent to it" in str(found)
        with Client(board.path) as client:
            with pytest.raises(UserError, match="returns what is sent to it"):
                client.exchange("HELLO", patience_s=0.2, attempts=1)
    finally:
        ends.set()
        thread.join()
        os.close(keeps_open)


def test_a_vanished_port_gets_one_line(board: BoardEnd, journal: JournalWriter) -> None:
    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        board.write(board.frame(1))
        ticks_heard(link, 1)
        board.close()
        with pytest.raises(LinkLost, match="vanished") as caught:
            link.next_frame(5.0)
        assert "\n" not in str(caught.value)
        with pytest.raises(LinkLost, match="vanished"):
            link.send("HELLO")
        with pytest.raises(LinkLost, match="vanished"):
            link.request("HELLO")


def test_a_vanished_port_ends_a_request_at_once(board: BoardEnd, journal: JournalWriter) -> None:
    def hear_and_close() -> None:
        board.hear()
        board.close()

    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        thread = threading.Thread(target=hear_and_close)
        thread.start()
        with pytest.raises(LinkLost, match="vanished"):
            link.request("HELLO", timeout_s=60.0)
        thread.join()


def test_a_board_that_stopped_reading_gets_one_line(
    board: BoardEnd, journal: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsectl.protocol.serial_line.WRITE_TIMEOUT_S", 0.05)
    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        with pytest.raises(LinkLost, match="has stopped reading"):
            for _ in range(100_000):
                link.send_timesync()


def test_a_missing_port_gets_one_line(journal: JournalWriter) -> None:
    with pytest.raises(UserError, match="no port /dev/ttyACM77; plug the board in"):
        Link("/dev/ttyACM77", 230400, LiveRecorder(journal))


def test_a_busy_port_gets_one_line(board: BoardEnd, journal: JournalWriter) -> None:
    with serial.Serial(board.path, exclusive=True):
        with pytest.raises(UserError, match="in use by another program") as caught:
            Link(board.path, 230400, LiveRecorder(journal))
    assert "\n" not in str(caught.value)


def test_frames_carry_the_time_they_came(board: BoardEnd, journal: JournalWriter) -> None:
    with Link(board.path, 230400, LiveRecorder(journal)) as link:
        before_ns = time.monotonic_ns()
        board.write(board.frame(1))
        received = link.next_frame(5.0)
        assert received is not None
        assert before_ns < received.host_ns < time.monotonic_ns()


def test_a_lockstep_link_reads_by_itself_and_orders_by_question(
    board: BoardEnd, journal: JournalWriter
) -> None:
    """The event that follows an answer stands behind the next question, however fast it came."""

    def answer_with_events() -> None:
        for tick in (1, 2):
            asked = board.hear()
            board.ack(asked)
            board.write(board.frame(tick))

    with Link(board.path, 230400, LockstepRecorder(journal)) as link:
        assert link._thread is None
        thread = threading.Thread(target=answer_with_events)
        thread.start()
        link.request("HOME")
        time.sleep(0.01)
        link.request("DISARM")
        thread.join()
        assert ticks_heard(link, 2) == [1, 2]
    names = [decode(record.payload) for record in read_journal(journal.path).records]
    reported = [frame.name for frame in names if frame is not None]
    assert reported == ["HOME", "ACK", "DISARM", "EVENT", "ACK", "EVENT"]


def test_a_lockstep_link_finds_that_the_port_vanished(
    board: BoardEnd, journal: JournalWriter
) -> None:
    with Link(board.path, 230400, LockstepRecorder(journal)) as link:
        board.close()
        with pytest.raises(LinkLost, match="vanished"):
            link.request("HELLO")


def test_a_board_that_sends_noise_alone_is_not_called_silent(
    board: BoardEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "SILENCE_S", -1.0)  # any time without a frame is too long
    with (
        JournalWriter(tmp_path / "journal.bin", {}) as journal,
        Link(board.path, 115_200, LiveRecorder(journal)) as link,
    ):
        watchdog = safety.FrameWatchdog(link, Presence(1.0))
        with pytest.raises(LinkLost, match="has sent nothing for .*; check cable and supply"):
            watchdog.check()
        board.write(b"U" * 100)
        while link.received_bytes < 100:
            time.sleep(0.001)
        with pytest.raises(LinkLost, match="sent 100 bytes but no frame for .* baud rate and firm"):
            watchdog.check()
        watchdog.feed()
        with pytest.raises(LinkLost, match="has sent nothing for"):
            watchdog.check()


def test_whoever_waits_learns_at_once_that_nothing_can_be_read(
    board: BoardEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(link: Link, chunk: bytes, host_ns: int) -> None:
        raise MemoryError

    monkeypatch.setattr(Link, "_take", no_memory)
    with (
        JournalWriter(tmp_path / "journal.bin", {}) as journal,
        Link(board.path, 115_200, LiveRecorder(journal)) as link,
    ):
        board.write(board.frame(1))
        with pytest.raises(LinkLost, match=r"this program can no longer read .*: MemoryError\(\)"):
            link.next_frame(60.0)
