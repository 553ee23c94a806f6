"""The trial's side of the live page: what it shows, and what a person requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sparsectl.hil.journal.state_resets import ResetWatch
from sparsectl.hil.journal.trace import Sample
from sparsectl.hil.live.channel import Channel
from sparsectl.protocol.wire import Fault, State

EVERY_NS = 33_000_000
"""Time between two updates: a screen's rate, whatever the control rate is."""
BEAT_NS = 100_000_000
"""The longest time between two messages while the loop runs, so that browsers notice when they
stop."""
SILENCE_NS = 450_000_000
"""A page that gives no sign for this long is lost: half a second, less a turn of the loop."""
SILENCE_BEFORE_ARM_NS = 10_000_000_000
"""The same while the motor is off and only the page can arm it: it may be busy with a browser that
opens it, on a busy machine."""
MOST_TICKS = 500
"""Ticks in one update at most; what is more is not shown."""


class LiveFeed:
    """Collects ticks and sends them in batches; receives the person's commands."""

    def __init__(
        self,
        channel: Channel,
        pole_rad_per_count: float,
        base_unit_per_count: float,
        watches_state: bool = False,
    ) -> None:
        """Take the rig's scales, and whether the board runs a policy that keeps a state."""
        self._channel = channel
        self._pole_rad, self._base_unit = pole_rad_per_count, base_unit_per_count
        self._ticks: list[list[float]] = []
        self._sent_ns = 0
        self._commands: list[str] = []
        self._page_is_there = True
        self._heard_ns = time.monotonic_ns()
        self._watch = ResetWatch() if watches_state else None
        self._skipped = self._resets = 0
        self._told_resets = ""
        self._browsers = 0
        self._has_ended = False
        self.is_watched = False
        """True from the arming on, when a browser has to show the page."""

    def show(self, sample: Sample, counters: Callable[[], Mapping[str, int]]) -> None:
        """Take a tick; a bunch goes out when it is time. Never waits."""
        if len(self._ticks) < MOST_TICKS:
            self._ticks.append(self._tick(sample))
        if self._watch is not None:
            self._look_for_reset(self._watch, sample)
        now_ns = time.monotonic_ns()
        if now_ns - self._sent_ns < EVERY_NS:
            return
        self._sent_ns = now_ns
        state, fault = State(sample.state).name, Fault(sample.fault).name
        self._send(
            ticks=self._ticks,
            state=state,
            fault=fault,
            skipped=sample.skipped,
            counters=counters(),
            resets=self._told_resets,
        )
        self._ticks = []

    def _look_for_reset(self, watch: ResetWatch, sample: Sample) -> None:
        missing = (sample.skipped - self._skipped) & 0xFFFF
        self._skipped = sample.skipped
        reset = watch.take(sample.tick, sample.time_us, sample.state, missing)
        if reset is not None:
            self._resets += 1
            times = "once" if self._resets == 1 else f"{self._resets} times"
            self._told_resets = f", reset {times}, at tick {reset.tick} last ({reset.why})"

    def phase(self, name: str) -> None:
        """Show the trial's present phase."""
        self._send(phase=name)

    def end(self, why: str, **what: str) -> None:
        """Show how the trial ended; `what` may have the last state and fault. What was said first
        stays: it is nearest to the motor."""
        if not self._has_ended:
            self._has_ended = True
            self._send(ended=why, **what)

    def asked(self, command: str) -> bool:
        """Return whether the person has pressed this button since the last call."""
        self._read()
        if command not in self._commands:
            return False
        self.forget(command)
        return True

    def forget(self, command: str) -> None:
        """Discard earlier presses of this button."""
        self._read()
        self._commands = [each for each in self._commands if each != command]

    def lost(self) -> str | None:
        """Return why nobody could stop the motor with the page; None while somebody can.

        Call this in every turn of the loop: it also tells the page that the loop runs.
        """
        now_ns = time.monotonic_ns()
        if now_ns - self._sent_ns > BEAT_NS:
            self._sent_ns = now_ns
            self._send(beat=True)
        self._read()
        if not self._page_is_there:
            return "its process has ended"
        if now_ns - self._heard_ns > (SILENCE_NS if self.is_watched else SILENCE_BEFORE_ARM_NS):
            return f"nothing heard from it for {(now_ns - self._heard_ns) * 1e-9:.1f} s"
        if self.is_watched and self._browsers == 0:
            return "no browser shows it any more"
        return None

    def _tick(self, sample: Sample) -> list[float]:
        return [
            round(sample.time_us * 1e-6, 6),
            round(sample.angle_rad(self._pole_rad), 5),
            round(sample.base_count * self._base_unit, 6),
            round(sample.duty, 4),
            sample.lateness_us,
            sample.actuation_us,
            round(sample.inference_ns * 1e-3, 3),
        ]

    def _send(self, **message: Any) -> None:
        if self._page_is_there:
            self._channel.send(message)

    def _read(self) -> None:
        try:
            for message in self._channel.receive():
                self._heard_ns = time.monotonic_ns()
                self._browsers = int(message.get("browsers", self._browsers))
                if "command" in message:
                    self._commands.append(str(message["command"]))
        except EOFError:
            self._page_is_there = False
