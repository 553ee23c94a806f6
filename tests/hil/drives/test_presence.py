"""Whether this program itself ran."""

from __future__ import annotations

import time

import pytest

from sparsectl.hil.drives import presence
from sparsectl.hil.drives.presence import Presence


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="a clock of Linux")
def test_a_suspended_machine_is_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_MONOTONIC stands still while a laptop sleeps; the board's clock does not."""
    now_s = {time.CLOCK_BOOTTIME: 100.0, time.CLOCK_MONOTONIC: 100.0}
    monkeypatch.setattr(presence.time, "clock_gettime_ns", lambda clock: round(now_s[clock] * 1e9))
    watched = Presence(0.02)
    assert watched.look() is None
    now_s[time.CLOCK_BOOTTIME] += 0.02
    assert watched.look() is None and watched.recent() is None
    now_s[time.CLOCK_BOOTTIME] += 600.0
    absence = watched.look()
    assert absence is not None and "did not run for 600.0 s" in absence.words
    assert watched.recent() == absence
    now_s[time.CLOCK_BOOTTIME] += 10.0
    assert watched.recent() is None
