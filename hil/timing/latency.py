"""Latency of a tick: from the encoder's sample to the motor, through board and host.

The board's times are turned into the host's by the clock relation of the whole trial. In host mode
the chain goes to the motor: sample, transmit, host receive, compute, send, board receive, actuate.
In device mode the motor's new duty comes before the transmission, and the chain ends where the
board reads the host's answer, which is its proof that the host lives.

    sensing     sampling to handing the OBSERVATION (TICK, in device mode) to the line
    up          from there to the host's last byte of it
    hand_over   from the reading thread to whoever answers
    compute     the policy; host mode alone
    sending     from there to handing the answer to the line
    down        from there to the board's reading of it
    actuating   from there to the motor's new duty; host mode alone
    end_to_end  sampling to the motor's new duty (to the answer read, in device mode), by the
                board's clock alone

All but the last follow one another, so their sum is the last, and what it lacks is what was not
measured: the clocks' drift, rounding, a stamp at the wrong place. What `up` and `down` are each
worth, the clock relation's error says; one that is negative beyond it would be a wrong relation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sparsectl.hil.journal.journal import Journal, Kind
from sparsectl.hil.timing.clock_sync import ClockRelation
from sparsectl.hil.timing.computation import Computation
from sparsectl.hil.timing.percentiles import Percentiles, percentiles
from sparsectl.protocol.wire import Frame, State, decode

TOLERANCE_US = 20.0


@dataclass(frozen=True, slots=True)
class Latency:
    """The segments of one tick's latency, in us."""

    tick: int
    sensing: float
    up: float
    hand_over: float
    compute: float
    sending: float
    down: float
    actuating: float
    end_to_end: float

    @property
    def total(self) -> float:
        """Sum of all segments."""
        return float(sum(getattr(self, name) for name in SEGMENTS))


LEAST_POSITIVE = 0.9
"""Share of the ticks in which both ways on the line must take time to be believed."""

SEGMENTS = tuple(
    field.name for field in fields(Latency) if field.name not in ("tick", "end_to_end")
)


@dataclass
class _Stamps:
    """The time stamps of a tick collected so far; the host's in ns."""

    report: Frame
    """The OBSERVATION or TICK that the host answers."""
    received_ns: int
    computation: Computation | None = None
    sent_ns: int | None = None


def latencies(journal: Journal, relation: ClockRelation) -> Iterator[Latency]:
    """Yield the latency of each tick in which the policy drove the motor and for which all stamps
    exist."""
    is_host_mode = journal.header.config.mode == "host"
    yield from (_host_mode if is_host_mode else _device_mode)(journal, relation)


def summarise(found: list[Latency], relation: ClockRelation) -> dict[str, Any] | None:
    """Return percentiles of each segment, and how well they add up; None without a tick.

    The ways there and back take time: where one is below 0 beyond the clock relation's error, the
    clocks have moved against each other (an emulator's, or a short trial of a board without a
    crystal), and how the round trip divides into `up` and `down` is not known: None.
    """
    if not found:
        return None
    rest = np.abs([each.total - each.end_to_end for each in found])
    wire = np.array([min(each.up, each.down) for each in found])
    never_negative = float(np.mean(wire >= -relation.error_us))
    known = SEGMENTS
    if never_negative < LEAST_POSITIVE:
        known = tuple(name for name in SEGMENTS if name not in ("up", "down"))
    return {
        **{
            name: _percentiles_unless_none(found, name) if name in known else None
            for name in SEGMENTS
        },
        "end_to_end": percentiles([each.end_to_end for each in found]),
        "ticks": len(found),
        "sum_within_20_us": round(float(np.mean(rest <= TOLERANCE_US)), 6),
        "sum_error_max": round(float(rest.max()), 3),
        "wire_never_negative": round(never_negative, 6),
    }


def _percentiles_unless_none(found: list[Latency], name: str) -> Percentiles | None:
    """Return percentiles, or None for a segment that the mode does not have."""
    values = [getattr(each, name) for each in found]
    return percentiles(values) if any(values) else None


def _frames(journal: Journal) -> Iterator[tuple[Frame | Computation, int]]:
    for record in journal.records:
        if record.kind is Kind.COMPUTATION:
            yield Computation.parse(record.payload), record.host_ns
        elif record.kind in (Kind.FROM_DEVICE, Kind.TO_DEVICE):
            if (frame := decode(record.payload)) is not None:
                yield frame, record.host_ns


def _host_mode(journal: Journal, relation: ClockRelation) -> Iterator[Latency]:
    ticks: dict[int, _Stamps] = {}
    for frame, host_ns in _frames(journal):
        if isinstance(frame, Computation):
            if frame.tick in ticks:
                ticks[frame.tick].computation = frame
        elif frame.name == "OBSERVATION":
            ticks[frame["tick"]] = _Stamps(frame, host_ns)
        elif frame.name == "COMMAND" and frame["tick"] in ticks:
            ticks[frame["tick"]].sent_ns = host_ns
        elif frame.name == "TICK" and frame["tick"] in ticks:
            stamps = ticks.pop(frame["tick"])
            if frame["receive_us"] and frame["state"] == State.ACTIVE:
                yield from _chain(
                    stamps,
                    stamps.report["transmit_us"],
                    frame["receive_us"],
                    frame["actuation_us"],
                    relation,
                )


def _device_mode(journal: Journal, relation: ClockRelation) -> Iterator[Latency]:
    waiting: _Stamps | None = None
    asked: dict[int, _Stamps] = {}
    for frame, host_ns in _frames(journal):
        if isinstance(frame, Computation):
            continue
        if frame.name == "TICK":
            waiting = _Stamps(frame, host_ns) if frame["state"] == State.ACTIVE else None
        elif frame.name == "TIMESYNC" and not frame.to_host and waiting is not None:
            waiting.sent_ns = host_ns
            begun = Computation(
                waiting.report["tick"], frame["host_time_ns"], frame["host_time_ns"]
            )
            waiting.computation = begun
            asked[frame["host_time_ns"]], waiting = waiting, None
        elif frame.name == "TIMESYNC" and frame["host_time_ns"] in asked:
            stamps = asked.pop(frame["host_time_ns"])
            received_us = frame["receive_time_us"] - stamps.report["sample_time_us"]
            sensing_us = stamps.report["actuation_us"]
            yield from _chain(stamps, sensing_us, received_us, received_us, relation)


def _chain(
    stamps: _Stamps, transmit_us: int, receive_us: int, end_us: int, relation: ClockRelation
) -> Iterator[Latency]:
    """Return the segments between the stamps; those of the board are in us since its sampling."""
    done = stamps.computation
    if done is None or stamps.sent_ns is None:
        return
    sampled_us = stamps.report["sample_time_us"]
    transmit_ns = relation.host_ns(sampled_us + transmit_us)
    receive_ns = relation.host_ns(sampled_us + receive_us)
    yield Latency(
        tick=stamps.report["tick"],
        sensing=float(transmit_us),
        up=(stamps.received_ns - transmit_ns) / 1000,
        hand_over=(done.start_ns - stamps.received_ns) / 1000,
        compute=(done.end_ns - done.start_ns) / 1000,
        sending=(stamps.sent_ns - done.end_ns) / 1000,
        down=(receive_ns - stamps.sent_ns) / 1000,
        actuating=float(end_us - receive_us),
        end_to_end=float(end_us),
    )
