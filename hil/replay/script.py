"""Order what happened on a board, from the journal of its host.

A journal has two streams: what the host sent, and what the board sent. The board's stream is in the
board's order, and the board answers everything that it receives; so each request is placed where
its answer is between the ticks, however long the transmission took. A request without an answer
counts as not received, unless the board's numbers have a gap there: then its answer was lost.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sparsectl.hil.journal.journal import Journal, Kind
from sparsectl.protocol.wire import Fault, Frame, State, decode


@dataclass(frozen=True)
class Sampling:
    """A control tick with these counts from home, `periods` after the previous one."""

    tick: int
    periods: int
    time_us: int
    base_count: int
    pole_count: int
    state: int
    """The state after it, as the board reported; if this tick's frame was lost, that of the last
    tick known."""
    fault: int
    lost: bool = False
    """True if its frame was lost and its counts are interpolated between those of its
    neighbours."""


@dataclass(frozen=True)
class Request:
    """The board receives and executes this message."""

    frame: Frame


@dataclass(frozen=True)
class Heard:
    """The board receives a message that only proves that the host is alive."""


@dataclass(frozen=True)
class Outcome:
    """The board's report about a tick: TICK, PLANT_ACT or OBSERVATION."""

    frame: Frame


@dataclass(frozen=True)
class Loss:
    """The line lost frames of the board here, or what the board received is a guess."""


Action = Sampling | Request | Heard | Outcome | Loss

UNANSWERED = ("COMMAND", "PLANT_STEP", "STEP")
"""Requests whose effect the following ticks show, so that nothing has to be guessed."""
RECENT = 16
"""Number of frames within which a duplicate is counted once."""


def read_script(journal: Journal) -> Iterator[Action]:
    """Yield what the board did, as the journal shows it."""
    frames = [
        frame
        for record in journal.records
        if record.kind in (Kind.FROM_DEVICE, Kind.TO_DEVICE)
        and (frame := decode(record.payload)) is not None
    ]
    return _Reader(frames).read()


class _Reader:
    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self._skipped_by_tick = {f["tick"]: f["skipped"] for f in frames if f.name == "TICK"}
        observed = any(frame.name == "OBSERVATION" for frame in frames)
        self._sampled_by = "OBSERVATION" if observed else "TICK"
        self._open: dict[int, Frame] = {}
        self._answered = _answered(frames)
        self._recent: deque[bytes] = deque(maxlen=RECENT)
        self._expected: int | None = None
        self._steps: dict[int, Frame] = {}
        self._commands: dict[int, Frame] = {}
        """The commands by their ticks, those that the board may have received in time. A late one
        has an answer of its own, an ACK or a NACK; one that came in time has its TICK."""
        self._last: Sampling | None = None

    def read(self) -> Iterator[Action]:
        first = next((f for f in self._frames if f.name == self._sampled_by), None)
        if first is not None and first["tick"] > 1:
            yield self._earlier(first)
        for index, frame in enumerate(self._frames):
            if not frame.to_host:
                self._to_board(index, frame)
            elif frame.raw not in self._recent:  # else it came twice
                self._recent.append(frame.raw)
                yield from self._gap(frame)
                yield from self._from_board(frame)

    def _to_board(self, index: int, frame: Frame) -> None:
        self._open[index] = frame
        if frame.name == "PLANT_STEP":
            self._steps[frame["tick"]] = frame
        elif frame.name == "COMMAND" and index not in self._answered:
            self._commands[frame["tick"]] = frame

    def _gap(self, frame: Frame) -> Iterator[Action]:
        """Yield what was lost before this frame: answers to requests that were never answered."""
        lost = 0 if self._expected is None else (frame.sequence - self._expected) & 0xFFFF
        self._expected = (frame.sequence + 1) & 0xFFFF
        if not 0 < lost < 0x8000:
            return  # a board that began anew has lost nothing here
        yield Loss()
        for index, asked in list(self._open.items()):
            if lost and index not in self._answered and asked.name not in UNANSWERED:
                del self._open[index]
                lost -= 1
                heard = asked.name in ("TIMESYNC", "HELLO", "STATS", "BENCH")
                yield Heard() if heard else Request(asked)

    def _answer(self, frame: Frame) -> Frame | None:
        """Return the request that `frame` answers. The board takes requests in order, so earlier
        ones that are still open were not received."""
        place = next((i for i, asked in self._open.items() if _answers(frame, asked)), None)
        if place is None:
            return None
        request = self._open[place]
        self._open = {index: asked for index, asked in self._open.items() if index > place}
        return request

    def _from_board(self, frame: Frame) -> Iterator[Action]:
        match frame.name:
            case "ACK":
                request = self._answer(frame)
                if request is not None and request.name != "STEP":
                    self._commands.pop(request.values.get("tick", -1), None)
                    yield Request(request)
            case "NACK" | "TIMESYNC" | "HELLO" | "STATS" | "BENCH":
                self._answer(frame)
                yield Heard()
            case "OBSERVATION":
                yield from self._sampled(frame)
                yield Outcome(frame)
            case "TICK":
                yield from self._ticked(frame)
            case "PLANT_ACT":
                if frame["tick"] in self._steps:
                    yield Request(self._steps[frame["tick"]])
                    yield Outcome(frame)

    def _ticked(self, frame: Frame) -> Iterator[Action]:
        if self._last is None and self._sampled_by != "TICK":
            return  # of a tick from before the first that the host saw
        if self._last is None or self._last.tick != frame["tick"]:
            yield from self._sampled(frame)
        command = self._commands.pop(frame["tick"], None)
        if command is not None and _bits(command["output"]) == _bits(frame["policy_output"]):
            yield Request(command)
        yield Outcome(frame)

    def _sampled(self, frame: Frame) -> Iterator[Action]:
        """Yield the tick of a frame, and before it those whose frames were lost."""
        here = Sampling(
            frame["tick"],
            1,
            frame["sample_time_us"],
            frame["base_count"],
            frame["pole_count"],
            frame["state"],
            frame["fault"],
        )
        before, self._last = self._last, here
        if before is None:
            yield here
            return
        gap = here.tick - before.tick
        if gap <= 0:
            return  # received twice
        lost = gap - 1 - self._skipped(before.tick, here.tick)
        for number in range(1, lost + 1):
            yield _between(before, here, number, lost + 1)
            yield Heard()  # what the board heard meanwhile has no place any more; it heard
        yield replace(here, periods=gap - lost)

    def _earlier(self, first: Frame) -> Sampling:
        """Return all ticks before the first reported one as a single step, so that both count
        alike."""
        ticks, counts = first["tick"] - 1, (first["base_count"], first["pole_count"])
        return Sampling(ticks, ticks, 0, *counts, State.SAFE, Fault.NONE)

    def _skipped(self, before: int, after: int) -> int:
        """Return the deadlines that the board skipped between two ticks; all of them, if it did not
        report."""
        gap = after - before - 1
        if before not in self._skipped_by_tick or after not in self._skipped_by_tick:
            return gap
        skipped: int = (self._skipped_by_tick[after] - self._skipped_by_tick[before]) & 0xFFFF
        return min(gap, skipped)


def _answers(frame: Frame, asked: Frame) -> bool:
    """Return whether this frame of the board answers that request."""
    if frame.name in ("ACK", "NACK"):
        return bool(frame["echo_sequence"] == asked.sequence)
    if frame.name == "TIMESYNC":
        return asked.name == "TIMESYNC" and frame["host_time_ns"] == asked["host_time_ns"]
    return frame.name == asked.name


def _answered(frames: list[Frame]) -> set[int]:
    """Return the indices of the requests that are answered later."""
    found: set[int] = set()
    by_sequence: dict[int, int] = {}
    by_time: dict[int, int] = {}
    for index, frame in enumerate(frames):
        if not frame.to_host:
            by_sequence[frame.sequence] = index
            if frame.name == "TIMESYNC":
                by_time[frame["host_time_ns"]] = index
        elif frame.name in ("ACK", "NACK"):
            found |= {by_sequence.pop(frame["echo_sequence"], -1)}
        elif frame.name == "TIMESYNC":
            found |= {by_time.pop(frame["host_time_ns"], -1)}
    return found


def _between(before: Sampling, after: Sampling, number: int, parts: int) -> Sampling:
    """Interpolate the `number`th of the ticks that were lost between two."""

    def line(start: int, end: int) -> int:
        return start + (end - start) * number // parts

    return Sampling(
        tick=before.tick + number,
        periods=1,
        time_us=line(before.time_us, after.time_us),
        base_count=line(before.base_count, after.base_count),
        pole_count=line(before.pole_count, after.pole_count),
        state=before.state,
        fault=before.fault,
        lost=True,
    )


def _bits(value: float) -> bytes:
    return struct.pack("<f", value)
