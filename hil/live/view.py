"""The live page's data: the last batch of ticks, a few seconds of history, the counters."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

HISTORY_S = 10.0
MOST_POINTS = 400
"""The most points of a plotted line; more ticks are thinned."""
EDGES_US = tuple(round(10 ** (power / 4)) for power in range(21))
"""Bins of the latency histogram: four per decade, 1 us to 100 ms."""
CLOSE = 1e-4
"""Duties that the page tells apart: it gets them to four places."""
ENDED = "the trial has ended"
DRIVEN = "ACTIVE"
OPEN_LOOP = ("SAFE", "HOMED", "HOMING", "BOOT")


@dataclass(frozen=True)
class Setup:
    """The message that a trial sends to its page at the start."""

    title: str
    is_rotary: bool
    base_unit: str
    base_limit: float
    latency_of: str
    """The quantity in the histogram: `sample to motor` or `inference`."""
    duties: tuple[float, ...] = ()
    """The duties that the policy chooses among; empty: it outputs the duty itself."""
    state_size: int = 0
    """Number of values that the policy passes from tick to tick; 0: it keeps no state."""

    def to_json(self) -> str:
        """Encode it as the argument of the page's process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setup:
        """Decode what `to_json` returned."""
        said = json.loads(text)
        return cls(**said | {"duties": tuple(said["duties"])})

    def shown(self, duty: float) -> str:
        """Return a duty as HTML: in bold among those that are chosen from; otherwise, as in a kick,
        alone."""
        if all(abs(duty - each) > CLOSE for each in self.duties):
            return f"{duty:+.2f}"
        marks = ["b" if abs(duty - each) <= CLOSE else "small" for each in self.duties]
        names = [f"{each:+g}" if each else "0" for each in self.duties]
        return " ".join(f"<{m}>{n}</{m}>" for m, n in zip(marks, names, strict=True))


@dataclass
class View:
    """The state that all browsers of a page share; `take` brings it up to date."""

    phase: str = "check"
    state: str = "BOOT"
    fault: str = "NONE"
    ended: str | None = None
    has_vanished: bool = False
    """True if the trial's process has ended without a message."""
    beats: int = 0
    """Number of messages of the control loop."""
    is_beating: bool = False
    """The control loop runs: from its first tick to the trial's end, each message is a beat."""
    skipped: int = 0
    resets: str = ""
    """How often a recurrent policy's state was reset while it drove the motor, and when last."""
    counters: Mapping[str, int] = field(default_factory=dict)
    time_s: deque[float] = field(default_factory=deque)
    angle_deg: deque[float] = field(default_factory=deque)
    base: deque[float] = field(default_factory=deque)
    duty: float = 0.0
    histogram: list[int] = field(default_factory=lambda: [0] * (len(EDGES_US) - 1))

    def take(self, message: Mapping[str, Any], latency_column: int) -> None:
        """Bring the view up to date with a message of the trial's."""
        for name in ("phase", "state", "fault", "ended", "skipped", "resets", "counters"):
            if name in message:
                setattr(self, name, message[name])
        self.beats += 1
        self.is_beating = self.ended is None and (self.is_beating or bool(message.get("ticks")))
        if self.ended is not None:
            self.phase = ENDED
        for tick in message.get("ticks", ()):
            self._tick(tick, latency_column)
        if self.state != DRIVEN:
            self.duty = 0.0  # the last tick that is shown may be one that still drove

    def vanish(self) -> None:
        """Record that the trial's process is gone."""
        if self.ended is None:
            self.ended, self.has_vanished = "the trial's process has vanished", True
            self.phase = ENDED

    def lines(self) -> tuple[list[list[float | None]], list[list[float | None]]]:
        """Return angle in degrees and base position over time, thinned; each is a list of [s,
        value]. Where the pole passes the bottom, the angle's line is interrupted, or it would cross
        the plot.

        Where the pole passes the bottom the angle's line is broken, or it would cross the plot.
        """
        step = max(1, len(self.time_s) // MOST_POINTS)
        times = list(self.time_s)[::step]
        angle, base = list(self.angle_deg)[::step], list(self.base)[::step]
        degrees: list[list[float | None]] = []
        for time_s, value in zip(times, angle, strict=True):
            before = degrees[-1][1] if degrees else None
            if before is not None and abs(value - before) > 180.0:
                degrees.append([time_s, None])
            degrees.append([time_s, value])
        return degrees, [list(pair) for pair in zip(times, base, strict=True)]

    def _tick(self, tick: list[float], latency_column: int) -> None:
        if self.time_s and tick[0] < self.time_s[-1]:
            self._forget(math.inf)  # the board's clock began again
        self.time_s.append(tick[0])
        self.angle_deg.append(round(math.degrees(tick[1]), 2))
        self.base.append(tick[2])
        self.duty = tick[3]
        if self.state not in OPEN_LOOP:
            self.histogram[_bin(tick[latency_column])] += 1
        self._forget(tick[0] - HISTORY_S)

    def _forget(self, before_s: float) -> None:
        while self.time_s and self.time_s[0] < before_s:
            for history in (self.time_s, self.angle_deg, self.base):
                history.popleft()


def _bin(value_us: float) -> int:
    for index, edge in enumerate(EDGES_US[1:]):
        if value_us < edge:
            return index
    return len(EDGES_US) - 2
