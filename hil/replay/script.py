"""What a board went through, put in its own order, from the journal of its host.

A journal has two streams: what the host sent, and what came from the board. The board's own stream
is in the board's order, and it answers all it hears; so each request is put where its answer stands
between the ticks, whatever time the way took. A request without an answer counts as not heard.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sparsectl.firmware_host.wire import Fault, Frame, State, decode
from sparsectl.hil.journal import Journal, Kind


@dataclass(frozen=True)
class Sampling:
    """A control tick begins on these counts from home, `periods` after the one before."""

    tick: int
    periods: int
    time_us: int
    base_count: int
    pole_count: int
    state: int
    """After it, as the board told; of the last tick known where this one's frame was lost."""
    fault: int
    lost: bool = False
    """Its frame was lost: the counts are between those of its neighbours."""


@dataclass(frozen=True)
class Request:
    """The board obeys this message."""

    frame: Frame


@dataclass(frozen=True)
class Heard:
    """The board hears a message that changes nothing but its belief that the host lives."""


@dataclass(frozen=True)
class Outcome:
    """What the board told of a tick: TICK, PLANT_ACT or OBSERVATION."""

    frame: Frame


Action = Sampling | Request | Heard | Outcome


def read_script(journal: Journal) -> Iterator[Action]:
    """The board's life as the journal tells it."""
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
        self._missed = {f["tick"]: f["missed"] for f in frames if f.name == "TICK"}
        observed = any(frame.name == "OBSERVATION" for frame in frames)
        self._sampled_by = "OBSERVATION" if observed else "TICK"
        self._open: dict[int, Frame] = {}
        self._steps: dict[int, Frame] = {}
        self._commands: dict[int, Frame] = {}
        self._last: Sampling | None = None

    def read(self) -> Iterator[Action]:
        first = next((f for f in self._frames if f.name == self._sampled_by), None)
        if first is not None and first["tick"] > 1:
            yield self._earlier(first)
        for frame in self._frames:
            if frame.to_host:
                yield from self._from_board(frame)
            else:
                self._to_board(frame)

    def _to_board(self, frame: Frame) -> None:
        self._open[frame.sequence] = frame
        if frame.name == "PLANT_STEP":
            self._steps[frame["tick"]] = frame
        elif frame.name == "COMMAND":
            self._commands[frame["tick"]] = frame

    def _from_board(self, frame: Frame) -> Iterator[Action]:
        match frame.name:
            case "ACK":
                request = self._open.pop(frame["echo_sequence"], None)
                if request is not None and request.name != "STEP":
                    self._commands.pop(request.values.get("tick", -1), None)
                    yield Request(request)
            case "NACK" | "TIMESYNC" | "HELLO" | "STATS" | "BENCH":
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
        """The tick of a frame, and before it those whose frames were lost."""
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
            return  # told twice
        lost = gap - 1 - self._skipped(before.tick, here.tick)
        for number in range(1, lost + 1):
            yield _between(before, here, number, lost + 1)
            yield Heard()  # what the board heard meanwhile has no place any more; it heard
        yield replace(here, periods=gap - lost)

    def _earlier(self, first: Frame) -> Sampling:
        """All ticks before the first that was told, as one: it makes both count alike."""
        ticks, counts = first["tick"] - 1, (first["base_count"], first["pole_count"])
        return Sampling(ticks, ticks, 0, *counts, State.SAFE, Fault.NONE)

    def _skipped(self, before: int, after: int) -> int:
        """Deadlines that the board itself skipped between two ticks; all, where it did not say."""
        gap = after - before - 1
        if before not in self._missed or after not in self._missed:
            return gap
        skipped: int = (self._missed[after] - self._missed[before]) & 0xFFFF
        return min(gap, skipped)


def _between(before: Sampling, after: Sampling, number: int, parts: int) -> Sampling:
    """The `number`th of the ticks that were lost between two, on a straight line."""

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
