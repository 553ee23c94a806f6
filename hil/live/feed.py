"""The trial's side of the live page: what it shows there, and what a person asks for there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sparsectl.firmware_host.wire import Fault, State
from sparsectl.hil.live.channel import Channel
from sparsectl.hil.samples import Sample

EVERY_NS = 33_000_000
"""Between two updates: a screen's rate, whatever the control rate is."""
MOST_TICKS = 500
"""Ticks in one update at most; what is more is not shown."""


class LiveFeed:
    """Gathers ticks and sends them in bunches; reads the person's commands."""

    def __init__(
        self, channel: Channel, pole_rad_per_count: float, base_unit_per_count: float
    ) -> None:
        self._channel = channel
        self._pole_rad, self._base_unit = pole_rad_per_count, base_unit_per_count
        self._ticks: list[list[float]] = []
        self._sent_ns = 0
        self._commands: list[str] = []
        self._page_is_there = True

    def show(self, sample: Sample, counters: Callable[[], Mapping[str, int]]) -> None:
        """Take a tick; a bunch goes out when it is time. Never waits."""
        if len(self._ticks) < MOST_TICKS:
            self._ticks.append(self._tick(sample))
        now_ns = time.monotonic_ns()
        if now_ns - self._sent_ns < EVERY_NS:
            return
        self._sent_ns = now_ns
        state, fault = State(sample.state).name, Fault(sample.fault).name
        self._send(
            ticks=self._ticks, state=state, fault=fault, missed=sample.missed, counters=counters()
        )
        self._ticks = []

    def phase(self, name: str) -> None:
        """Show what the trial is doing now."""
        self._send(phase=name)

    def end(self, why: str, **what: str) -> None:
        """Show how the trial ended; `what` may have the last state and fault."""
        self._send(ended=why, **what)

    def asked(self, command: str) -> bool:
        """Whether the person has pressed this button since it was last asked."""
        self._read()
        if command not in self._commands:
            return False
        self._commands.remove(command)
        return True

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
                self._commands.append(str(message.get("command")))
        except EOFError:
            self._page_is_there = False
