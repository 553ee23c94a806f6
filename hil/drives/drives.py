"""Run control ticks: by the board's own clock, by the host's steps, or on a plant simulated here.

A drive hides the difference from the trial: `advance` returns the next ticks, sends the keep-alive,
and raises if the board is gone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from sparsectl.hil.drives.presence import Presence
from sparsectl.hil.drives.safety import SILENCE_S, FrameWatchdog, InterruptGuard
from sparsectl.hil.journal.host_time import HostTime
from sparsectl.hil.journal.trace import Sample
from sparsectl.hil.link.link import Link, LinkLost
from sparsectl.hil.timing.pacing import Pace
from sparsectl.protocol.wire import Frame

if TYPE_CHECKING:
    from sparsectl.plants.plant import Plant

STEP_TICKS = 5
"""Ticks per STEP in lockstep, unless the board's link time-out allows fewer."""


class Drive(Protocol):
    """The interface between a trial and a drive."""

    def advance(self) -> list[Sample]:
        """Return the next ticks, in order; there may be none.

        Raises:
            LinkLost: the board has gone.
            Interrupted: the trial was asked to end.
        """
        ...


class StreamDrive:
    """The board ticks by its own clock and sends each tick: for real boards, and for realtime and
    fast.

    Each tick is answered by a TIMESYNC at once, which proves to the board that the host is alive
    and measures the round trip. A board that does not receive the host stops by itself.
    """

    def __init__(
        self, link: Link, guard: InterruptGuard, period_us: int, presence: Presence | None = None
    ) -> None:
        self._link, self._guard = link, guard
        self._period_s = period_us * 1e-6
        self._watchdog = FrameWatchdog(link, presence or Presence(self._period_s))

    def advance(self) -> list[Sample]:
        self._guard.check()
        received = self._link.next_frame(self._period_s)
        if received is None:
            self._watchdog.check()
            return []
        self._watchdog.feed()
        if received.frame.name != "TICK":
            return []
        self._link.send_timesync()
        return [Sample.from_tick(received.frame, received.host_ns)]


class Steps:
    """Advances a board's virtual clock from tick to tick, and the journal's time with it."""

    def __init__(self, link: Link, now: HostTime, last_tick: int, period_us: int) -> None:
        self._link, self._now = link, now
        self._tick, self._period_us = last_tick, period_us
        self._heard = last_tick

    def heard(self) -> None:
        """Record that the board has sent a tick."""
        self._heard = self._tick

    def run(self, ticks: int) -> None:
        """Let the board run `ticks` more ticks, after a keep-alive.

        Raises:
            LinkLost: the board accepts steps but has sent no tick for `SILENCE_S` of its own time.
        """
        silent_s = (self._tick - self._heard) * self._period_us * 1e-6
        if silent_s > SILENCE_S:
            raise LinkLost(
                f"the board on {self._link.port} has reported no tick for {silent_s:.1f} s; "
                "check cable and supply, reset it and retry"
            )
        self._tick += ticks
        self._now.reach(self._tick * self._period_us)
        self._link.request("TIMESYNC", host_time_ns=self._now())
        self._link.request("STEP", until_tick=self._tick, timeout_s=2.0)


class LockstepDrive:
    """The board's virtual clock advances only by the host's steps, so that a trial is
    reproducible."""

    def __init__(
        self, link: Link, guard: InterruptGuard, steps: Steps, link_timeout_ticks: int
    ) -> None:
        self._link, self._guard, self._steps = link, guard, steps
        self._stride = max(1, min(STEP_TICKS, link_timeout_ticks - 1))

    def advance(self) -> list[Sample]:
        self._guard.check()
        self._steps.run(self._stride)
        samples = []
        while (received := self._link.next_frame(0)) is not None:
            if received.frame.name == "TICK":
                samples.append(Sample.from_tick(received.frame, received.host_ns))
                self._steps.heard()
        return samples


class PilDrive:
    """The plant is simulated here; the board computes one tick for each PLANT_STEP.

    The duty takes effect after the plant's own transport delay, as in the training environment.
    """

    def __init__(
        self, link: Link, guard: InterruptGuard, plant: Plant, now: HostTime, pace: Pace
    ) -> None:
        self._link, self._guard, self._plant, self._now = link, guard, plant, now
        self._pace = pace
        self._period_us = round(plant.rig.period_s * 1e6)
        self._delay_s = plant.rig.period_s * min(1.0, plant.parameters.transport_delay_periods)
        self._tick = 0

    def advance(self) -> list[Sample]:
        self._pace.wait()
        self._guard.check()
        self._tick += 1
        tick, counts = self._tick, self._plant.counts()
        self._now.reach(tick * self._period_us)

        def is_this(frame: Frame) -> bool:
            return bool(frame["tick"] == tick)

        received = self._link.request(
            "PLANT_STEP",
            matches=is_this,
            tick=tick,
            base_count=counts[0],
            pole_count=counts[1],
        )
        sample = Sample.from_act(received.frame, received.host_ns, tick * self._period_us, counts)
        self._plant.advance(self._delay_s)
        self._plant.set_duty(sample.duty)
        self._plant.advance(self._plant.rig.period_s - self._delay_s)
        while self._link.next_frame(0) is not None:
            pass  # EVENTs stand in the journal; the state is in the answer
        return [sample]


def advance_until(drive: Drive, states: set[int], limit_s: float, what: str) -> Sample:
    """Run ticks until the board is in one of `states`; return that tick's sample.

    Raises:
        LinkLost: the board does not get there within `limit_s` of its own time, or a minute of the
            host's.
    """
    started_us: int | None = None
    patience_ns = time.monotonic_ns() + 60 * 10**9
    while time.monotonic_ns() < patience_ns:
        for sample in drive.advance():
            if sample.state in states:
                return sample
            started_us = sample.time_us if started_us is None else started_us
            if sample.time_us - started_us > limit_s * 1e6:
                raise LinkLost(f"the board did not complete {what} in {limit_s:g} s; reset it")
    raise LinkLost(f"the board did not complete {what} in a minute; reset it")
