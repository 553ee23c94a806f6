from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.hil.timing.clock_sync import WINDOW_NS, Exchange, fit_clock, shortest_of_windows


class SkewedDevice:
    """A device clock with an offset and a drift, behind a link whose two ways differ."""

    def __init__(self, offset_us: int, drift_ppm: float, seed: int) -> None:
        self.offset_us, self.drift_ppm = offset_us, drift_ppm
        self.dice = random.Random(seed)

    def device_us(self, host_ns: float) -> int:
        return self.offset_us + int(host_ns / 1000 / (1 + self.drift_ppm * 1e-6))

    def exchange(self, sent_ns: int) -> Exchange:
        there = 8_000 + self.dice.expovariate(1 / 20_000)
        back = 8_000 + self.dice.expovariate(1 / 20_000)
        return Exchange(sent_ns, self.device_us(sent_ns + there), int(sent_ns + there + back))

    def bursts(self, count: int, every_ns: int) -> list[Exchange]:
        starts = (
            10**12 + burst * every_ns + i * 200_000 for burst in range(count) for i in range(8)
        )
        return [self.exchange(start) for start in starts]


@given(st.integers(0, 2**40), st.floats(-200, 200), st.integers(0, 2**32), st.integers(1, 40))
def test_the_error_is_within_its_bound(
    offset_us: int, drift_ppm: float, seed: int, bursts: int
) -> None:
    device = SkewedDevice(offset_us, drift_ppm, seed)
    exchanges = device.bursts(bursts, 10**9)
    relation = fit_clock(exchanges)
    for host_ns in (10**12, 10**12 + (bursts - 1) * 10**9):
        found_ns = relation.host_ns(device.device_us(host_ns))
        # one burst cannot know the drift; several do, and only then the far end is promised
        if bursts == 1 or relation.windows > bursts // 2:
            assert abs(found_ns - host_ns) / 1000 <= 2 * relation.error_us


def test_the_drift_is_found() -> None:
    relation = fit_clock(SkewedDevice(123_456_789, 87.0, 4).bursts(60, 10**9))
    assert relation.drift_ppm == pytest.approx(87.0, abs=0.5)
    assert relation.error_us < 40


def test_of_a_window_the_shortest_is_kept() -> None:
    burst = [
        Exchange(i * 1_000_000, i, i * 1_000_000 + length) for i, length in enumerate([9, 4, 7])
    ]
    later = Exchange(WINDOW_NS, 50, WINDOW_NS + 5)
    assert shortest_of_windows([later, *burst]) == [burst[1], later]


def test_a_burst_that_was_held_up_does_not_bend_the_line() -> None:
    device = SkewedDevice(5, 30.0, 9)
    exchanges = device.bursts(20, 10**9)
    held_up = [
        Exchange(one.sent_ns, one.device_us, one.received_ns + 50_000_000)
        if one.sent_ns // 10**9 == 1005
        else one
        for one in exchanges
    ]
    assert fit_clock(held_up).drift_ppm == pytest.approx(30.0, abs=2.0)


def test_no_answer_gets_one_line() -> None:
    with pytest.raises(UserError, match="no TIMESYNC exchange was answered"):
        fit_clock([])
