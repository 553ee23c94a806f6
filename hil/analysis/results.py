"""Compute the result of a trial from its journal alone.

What `trial` prints, what `summary.json` keeps and what the report shows all come from here, so the
journal of a killed trial gives the same figures for the part that it contains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.hil.analysis.balance import assess_balance
from sparsectl.hil.analysis.choices import summarise_choices
from sparsectl.hil.analysis.kicks import Kicks, read_kicks
from sparsectl.hil.analysis.responses import balancing, kick_responses
from sparsectl.hil.analysis.trial_result import Disturbance, TrialResult
from sparsectl.hil.journal.journal import Journal, Kind, read_journal
from sparsectl.hil.journal.state_resets import state_resets
from sparsectl.hil.journal.trace import Trace, read_trace
from sparsectl.hil.link.counters import Counters
from sparsectl.hil.link.session import make_exchange
from sparsectl.hil.timing.clock_sync import ClockRelation, Exchange, fit_clock
from sparsectl.hil.timing.latency import latencies, summarise
from sparsectl.hil.timing.percentiles import intervals, percentiles
from sparsectl.protocol.wire import Fault, State

UNKNOWN_STATE = "unknown"


def assess(journal: Journal) -> TrialResult:
    """Compute the figures of a trial."""
    header = journal.header
    config, rig = header.config, header.rig_constants
    trace = read_trace(journal)
    active = active_part(trace)
    kicks = read_kicks(journal, active)
    period_us = periods_us(journal, active)
    skipped = _skipped(journal, active)
    balance = assess_balance(
        np.asarray(active.time_us * 1e-6, dtype=np.float64),
        active.pole_angle_rad,
        [kick["time_us"] * 1e-6 for kick in kicks.given],
        config.seconds,
        config.recovery_s,
    )
    # a kick that was asked for and never came was never survived either
    balanced = balance.balanced and not kicks.missed_after_s
    frames, effort = _frames(journal), balancing(active)
    ending, (state, fault) = _last(journal, "end"), _last_state(trace)
    relation = _relation(journal)
    latency_us = summarise(list(latencies(journal, relation)), relation) if relation else None
    return TrialResult(
        digest=header.digest,
        mode=config.mode,
        clock=clock_name(journal),
        ticks=len(active),
        skipped=skipped,
        lost_frames=frames["lost"],
        corrupt_frames=frames["corrupt"],
        duplicate_frames=frames["duplicate"],
        late_frames=frames["late"],
        balanced=balanced,
        balanced_seconds=balance.balanced_seconds,
        swing_up_seconds=balance.swing_up_seconds,
        held_seconds=balance.held_seconds,
        final_state=ending.get("state", state),
        fault=ending.get("fault", fault),
        ended=ending.get("why", "the journal stops in the middle of the trial"),
        period_us=percentiles(period_us),
        jitter_us=percentiles(np.abs(period_us - rig.period_us)),
        round_trip_us=percentiles([took_us for _, took_us in round_trips(journal)]),
        inference_us=percentiles(active.inference_ns / 1000),
        actuation_us=None if header.is_pil else percentiles(active.actuation_us),
        late_ticks=_late_ticks(journal, active),
        priority=_last(journal, "priority").get("scheduling", "ordinary"),
        noise_floor_us=_last(journal, "noise_floor").get("lateness_us"),
        rms_angle_rad=effort.rms_angle_rad,
        rms_duty=effort.rms_duty,
        disturbances=_disturbances(active, kicks),
        kicks_missed=len(kicks.missed_after_s),
        clock_relation=relation.to_json() if relation else None,
        latency_us=latency_us,
        board=_last(journal, "hello").get("board"),
        stats=_last(journal, "end").get("stats"),
        choices=summarise_choices(active.policy_output, rig.duties, rig.period_us * 1e-6),
        recurrent=_recurrent(journal, active),
    )


def _recurrent(journal: Journal, active: Trace) -> dict[str, Any] | None:
    """Return the size of the policy's state and when it was reset; None if it keeps none."""
    if not journal.header.state_size:
        return None
    resets = [
        {"tick": each.tick, "time_s": _since_start(each.time_us, active), "why": each.why}
        for each in state_resets(journal)
    ]
    return {"state_size": journal.header.state_size, "resets": resets}


def _disturbances(active: Trace, kicks: Kicks) -> tuple[Disturbance, ...]:
    responses = kick_responses(active, [kick["time_us"] for kick in kicks.given])
    return tuple(
        Disturbance(_since_start(kick["time_us"], active), kick["duty"], **response)
        for kick, response in zip(kicks.given, responses, strict=True)
    )


@dataclass(frozen=True)
class AssessedTrial:
    """A trial's journal, its path and its result."""

    path: Path
    journal: Journal
    result: TrialResult

    @classmethod
    def of(cls, path: Path) -> AssessedTrial:
        """Raises:
        UserError: the journal cannot be read.
        """
        journal = read_journal(path)
        return cls(path, journal, assess(journal))


def active_part(trace: Trace) -> Trace:
    """Return the ticks in which the policy drove the motor."""
    active = trace.state == State.ACTIVE
    return Trace(**{name: column[active] for name, column in vars(trace).items()})


def clock_name(journal: Journal) -> str:
    """Return the name of the clock that paces the ticks."""
    return journal.header.config.clock


def is_virtual_time(journal: Journal) -> bool:
    """Return whether the board's time is virtual, so that it has no relation to the host's."""
    return clock_name(journal) != "realtime" or journal.header.is_pil


def exchanges(journal: Journal) -> Iterator[Exchange]:
    """Yield every TIMESYNC round trip."""
    for record, frame in journal.frames:
        if frame.name == "TIMESYNC" and frame.to_host:
            yield make_exchange(frame.values, record.host_ns)


def round_trips(journal: Journal) -> list[tuple[int, float]]:
    """Return when each round trip began, in ns, and how long it took, in us: of TIMESYNC, or from
    PLANT_STEP to PLANT_ACT if the host simulates the plant.

    A lockstep journal has none, since it contains no time but the board's.
    """
    if journal.header.host_clock == "virtual":
        return []
    if journal.header.is_pil:
        return list(_pil_round_trips(journal))
    return [(one.sent_ns, one.round_trip_ns / 1000) for one in exchanges(journal)]


def periods_us(journal: Journal, active: Trace) -> NDArray[np.float64]:
    """Return the time from each active tick to the next that ran, by the clock that paces them, in
    us."""
    if not _is_paced_here(journal):
        return intervals(active.time_us, active.tick, active.skipped)
    sent_ns = _plant_steps_ns(journal)
    times_ns = [sent_ns[tick] for tick in active.tick.tolist()]
    return np.asarray(np.diff(times_ns) / 1000, dtype=np.float64)


def _is_paced_here(journal: Journal) -> bool:
    """Return whether this is processor in the loop in real time, in which the host's clock paces
    the ticks."""
    return journal.header.is_pil and clock_name(journal) == "realtime"


def _plant_steps_ns(journal: Journal) -> dict[int, int]:
    """Return when each tick's PLANT_STEP was first sent, in ns."""
    sent_ns: dict[int, int] = {}
    for record, frame in journal.frames:
        if frame.name == "PLANT_STEP" and not frame.to_host:
            sent_ns.setdefault(frame["tick"], record.host_ns)
    return sent_ns


def _pil_round_trips(journal: Journal) -> Iterator[tuple[int, float]]:
    sent_ns = _plant_steps_ns(journal)
    for record, frame in journal.frames:
        if frame.name == "PLANT_ACT" and frame["tick"] in sent_ns:
            begun_ns = sent_ns.pop(frame["tick"])
            yield begun_ns, (record.host_ns - begun_ns) / 1000


def _frames(journal: Journal) -> dict[str, int]:
    """Count lost, corrupt, duplicate and late frames from the device; recount them if the journal
    does not note its end."""
    counters = Counters()
    for _, frame in journal.frames:
        if frame.to_host:
            counters.take(frame.sequence)
    counters.corrupt = sum(record.kind is Kind.GARBAGE for record in journal.records)
    counted = _last(journal, "end").get("link") or counters.to_json()
    return {name: int(counted[name]) for name in ("lost", "corrupt", "duplicate", "late")}


def _last_state(trace: Trace) -> tuple[str, str]:
    """Return state and fault of the last tick."""
    if not len(trace):
        return UNKNOWN_STATE, Fault.NONE.name
    return State(int(trace.state[-1])).name, Fault(int(trace.fault[-1])).name


def _relation(journal: Journal) -> ClockRelation | None:
    """Return the relation of the two clocks, with which latencies can be attributed."""
    found = [] if is_virtual_time(journal) else list(exchanges(journal))
    return fit_clock(found) if found else None


def _skipped(journal: Journal, active: Trace) -> int:
    """Count deadlines that passed without a tick; a gap in the tick numbers alone may be a lost
    frame."""
    if not _is_paced_here(journal):
        return int(np.sum(np.diff(active.skipped) & 0xFFFF))
    whole = periods_us(journal, active) // journal.header.rig_constants.period_us
    return int(np.sum(np.maximum(whole - 1, 0)))


def _late_ticks(journal: Journal, active: Trace) -> int:
    """Count ticks whose new duty was applied only after the next tick was due."""
    period_us = journal.header.rig_constants.period_us
    if not _is_paced_here(journal):
        return int(np.sum(active.lateness_us + active.actuation_us > period_us))
    sent_ns = _plant_steps_ns(journal)
    took_ns = active.host_ns - [sent_ns[tick] for tick in active.tick.tolist()]
    return int(np.sum(took_ns > 1000 * period_us))


def _since_start(time_us: int, active: Trace) -> float:
    start_us = int(active.time_us[0]) if len(active) else 0
    return round((time_us - start_us) * 1e-6, 3)


def _last(journal: Journal, name: str) -> dict[str, Any]:
    notes = journal.notes(name)
    return notes[-1] if notes else {}
