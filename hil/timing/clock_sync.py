"""Relate the device's clock to the host's.

A TIMESYNC exchange gives three readings: host at sending, device when it answered, host at
receiving. The device's reading fell somewhere inside the round trip, so half of the round trip
bounds the error of one exchange. Of each second only the exchange with the shortest round trip is
kept; a straight line through those gives offset and drift (Cristian 1989; NTP's minimum filter).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError

WINDOW_NS = 1_000_000_000
"""Only the shortest exchange within each window of this length is used."""
MIN_DRIFT_SPAN_NS = 2_000_000_000
"""Exchanges over less time than this do not determine the drift, which is then taken as 0."""


@dataclass(frozen=True)
class Exchange:
    """One round trip: host clock in ns before and after, device clock in us between."""

    sent_ns: int
    device_us: int
    received_ns: int

    @property
    def round_trip_ns(self) -> int:
        """Duration of the exchange by the host's clock."""
        return self.received_ns - self.sent_ns

    @property
    def middle_ns(self) -> float:
        """The host's time at which the device most likely read its clock."""
        return (self.sent_ns + self.received_ns) / 2


@dataclass(frozen=True)
class ClockRelation:
    """host_ns = host_origin_ns + (device_us - device_origin_us) * 1000 * (1 + drift_ppm / 1e6)."""

    device_origin_us: int
    host_origin_ns: int
    drift_ppm: float
    """How much faster the host's clock runs than the device's, in parts per million."""
    error_us: float
    """Bound on the error: half of the shortest round trip and the largest residual of the line."""
    exchanges: int
    windows: int
    """Number of exchanges that the line was fitted to, the shortest of each second."""

    def host_ns(self, device_us: int) -> int:
        """Return the host's monotonic time, in ns, at a device time in us."""
        elapsed_ns = (device_us - self.device_origin_us) * 1000
        return self.host_origin_ns + elapsed_ns + round(elapsed_ns * self.drift_ppm * 1e-6)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        return asdict(self)


def shortest_of_windows(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Return the exchange with the shortest round trip in each window, oldest first."""
    kept: list[Exchange] = []
    window_start_ns = 0
    for exchange in sorted(exchanges, key=lambda one: one.sent_ns):
        if not kept or exchange.sent_ns - window_start_ns >= WINDOW_NS:
            kept.append(exchange)
            window_start_ns = exchange.sent_ns
        elif exchange.round_trip_ns < kept[-1].round_trip_ns:
            kept[-1] = exchange
    return kept


def fit_clock(exchanges: Sequence[Exchange]) -> ClockRelation:
    """Relate the clocks by the shortest exchanges; drift too when they span two seconds or more.

    Windows whose shortest round trip exceeds twice the overall shortest are left out of the fit: a
    frame was delayed in one direction, and it is not known in which.

    Raises:
        UserError: no exchange was answered.
    """
    if not exchanges:
        raise UserError("no TIMESYNC exchange was answered; check the cable and the firmware")
    best = shortest_of_windows(exchanges)
    shortest_ns = min(one.round_trip_ns for one in best)
    used = [one for one in best if one.round_trip_ns <= 2 * shortest_ns]
    device_origin_us = used[0].device_us
    host_origin_ns = round(used[0].middle_ns)
    elapsed_ns = np.array([(one.device_us - device_origin_us) * 1000.0 for one in used])
    ahead_ns = np.array([one.middle_ns - host_origin_ns for one in used]) - elapsed_ns
    drift, offset_ns = 0.0, float(np.mean(ahead_ns))
    if len(used) > 1 and elapsed_ns[-1] >= MIN_DRIFT_SPAN_NS:
        weights = 1.0 / np.array([max(one.round_trip_ns, 1) for one in used])
        slope, intercept = np.polyfit(elapsed_ns, ahead_ns, 1, w=weights)
        drift, offset_ns = float(slope), float(intercept)
    residual_ns = ahead_ns - (drift * elapsed_ns + offset_ns)
    return ClockRelation(
        device_origin_us=device_origin_us,
        host_origin_ns=host_origin_ns + round(offset_ns),
        drift_ppm=round(drift * 1e6, 4),
        error_us=round((shortest_ns / 2 + float(np.max(np.abs(residual_ns)))) / 1000 + 1.0, 3),
        exchanges=len(exchanges),
        windows=len(used),
    )
