"""Progress in a log: whole lines with the time left, and nothing about what is done at once."""

from __future__ import annotations

import io

import pytest

import sparsectl.common.progress
from sparsectl.common.progress import Progress


class Clock:
    """A clock that only the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tqdm.std.time", clock)
    return clock


def test_a_log_gets_lines_with_the_time_left(clock: Clock) -> None:
    log = io.StringIO()
    with Progress(total=100, desc="distil", unit="step", file=log) as bar:
        bar._time = clock
        for _ in range(100):
            clock.now += 1.0
            bar.update()
    lines = log.getvalue().splitlines()
    assert len(lines) == int(100 / sparsectl.common.progress.LINE_EVERY_S)
    assert lines[0] == "distil: 15 of 100 step, 00:15 gone, 01:25 left"
    assert "\r" not in log.getvalue()


def test_what_is_done_soon_leaves_no_line(clock: Clock) -> None:
    log = io.StringIO()
    for _ in Progress(range(3), desc="short", file=log):
        clock.now += 1.0
    assert log.getvalue() == ""


def test_what_is_quiet_says_nothing(clock: Clock) -> None:
    log = io.StringIO()
    for _ in Progress(range(3), disable=True, file=log):
        clock.now += 100.0
    assert log.getvalue() == ""


def test_a_total_that_becomes_known_brings_the_time_left(clock: Clock) -> None:
    log = io.StringIO()
    with Progress(total=0, desc="evaluate", unit="step", file=log) as bar:
        bar._time = clock
        for total in (None, 100):
            bar.total = total
            clock.now += 20.0
            bar.update(20)
    assert log.getvalue().splitlines() == [
        "evaluate: 20 step, 00:20 gone",
        "evaluate: 40 of 100 step, 00:40 gone, 01:00 left",
    ]
