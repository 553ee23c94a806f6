"""Two clocks of a board, one of which goes wrong."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware_host.core_library import Core

WINDOW = 10


class Board:
    """Ticks of one clock, counts of another."""

    def __init__(self, core: Core, counts_a_tick: float, start: int) -> None:
        self.c, self.rate, self.start = core.c, counts_a_tick, start
        self.true_ticks = 0.0
        self.c.shim_clock_init(WINDOW)

    @property
    def second(self) -> int:
        return (self.start + int(self.true_ticks * self.rate)) % 2**32

    def tick(self, true_ticks: float = 1.0, periods: int = 1) -> bool:
        """One tick, after so many true periods."""
        self.true_ticks += true_ticks
        return bool(self.c.shim_clock_tick(self.second, periods))

    def idle(self) -> bool:
        """A look between two ticks."""
        return bool(self.c.shim_clock_idle(self.second))

    def settle(self) -> None:
        assert all(self.tick() for _ in range(3 * WINDOW + 1))


RATES = st.floats(1.25, 1e6)  # the coarsest: 16 ms, in a window of 0.2 s
STARTS = st.integers(0, 2**32 - 1)
LATE = st.tuples(st.integers(1, 7), st.floats(-0.4, 0.4))


@given(RATES, STARTS, st.lists(LATE, max_size=80))
def test_good_clocks_agree_whatever_is_late_or_skipped(
    core: Core, rate: float, start: int, ticks: list[tuple[int, float]]
) -> None:
    board, before = Board(core, rate, start), 0.0
    for periods, late in ticks:
        assert board.tick(periods + late - before, periods)
        before = late
        board.true_ticks += 0.5
        assert board.idle()
        board.true_ticks -= 0.5


@pytest.mark.parametrize("true_ticks", [0.5, 2.0, 10.0])
@given(rate=RATES, start=STARTS, before=st.integers(0, 3 * WINDOW))
def test_ticks_that_come_at_another_rate_are_found(
    core: Core, true_ticks: float, rate: float, start: int, before: int
) -> None:
    board = Board(core, rate, start)
    board.settle()
    assert all([board.tick() for _ in range(before)])
    assert not all([board.tick(true_ticks) for _ in range(2 * WINDOW)])


SKIPS = st.lists(st.integers(1, WINDOW // 2), min_size=1, max_size=5).filter(lambda s: max(s) > 1)
"""Periods of one tick after another, again and again: a board that never keeps up."""


def skipping(board: Board, skips: list[int], ticks: int, rate: float = 1.0) -> bool:
    """Let a board that skips run for so many periods; return whether its clocks agreed."""
    agreed = []
    for periods in itertools.cycle(skips):
        if ticks <= 0:
            return all(agreed)
        agreed.append(board.tick(periods * rate, periods))
        ticks -= periods
    raise AssertionError


@pytest.mark.parametrize("true_ticks", [1.0, 0.5, 2.0])
@given(rate=RATES, start=STARTS, skips=SKIPS)
def test_a_board_that_always_skips_is_watched_too(
    core: Core, true_ticks: float, rate: float, start: int, skips: list[int]
) -> None:
    board = Board(core, rate, start)
    assert skipping(board, skips, 6 * WINDOW)
    assert skipping(board, skips, 3 * WINDOW, true_ticks) == (true_ticks == 1.0)


@given(RATES, STARTS, st.integers(WINDOW // 2 + 1, 10**6))
def test_a_second_clock_that_was_read_before_a_long_pause_is_not_blamed(
    core: Core, rate: float, start: int, pause: int
) -> None:
    """The system suspended the board's process between the second clock and the tick."""
    board = Board(core, rate, start)
    board.settle()
    before = board.true_ticks
    assert board.tick(0.0, pause)
    board.true_ticks = before + pause
    assert all([board.tick() for _ in range(3 * WINDOW)])
    assert not all([board.tick(2.0) for _ in range(2 * WINDOW)])


@given(RATES, STARTS)
def test_a_tick_that_does_not_come_is_missed(core: Core, rate: float, start: int) -> None:
    board = Board(core, rate, start)
    board.settle()
    board.true_ticks += 3.0
    assert board.idle()
    board.true_ticks += 1.5 + 4 / rate
    assert not board.idle()


@pytest.mark.parametrize(("rate", "agree"), [(0.0, True), (1000.0, False)])
def test_a_second_clock_that_never_moved_is_none(core: Core, rate: float, agree: bool) -> None:
    board = Board(core, rate, 5)
    board.settle()
    assert all([board.tick(0.0) for _ in range(2 * WINDOW)]) == agree


def test_an_oscillator_may_take_its_time_to_start(core: Core) -> None:
    board = Board(core, 1000.0, 5)
    assert all([board.tick(0.0 if tick < WINDOW + 3 else 1.0) for tick in range(9 * WINDOW)])
    assert not all([board.tick(2.0) for _ in range(WINDOW)])
