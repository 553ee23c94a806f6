"""Every board's watchdog is set to what docs/safety.md promises, at any control period."""

from __future__ import annotations

import pytest

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.boards.watchdog import Watchdog
from sparsectl.firmware_host.config_header import watchdog_us

WATCHDOGS = {name: board.watchdog for name, board in BOARDS.items() if board.watchdog}


@pytest.mark.parametrize("period_us", [500, 1_000, 5_000, 20_000, 21_000, 50_000, 1_000_000])
@pytest.mark.parametrize("name", WATCHDOGS)
def test_it_bites_in_time_and_leaves_time_for_a_tick(name: str, period_us: int) -> None:
    watchdog = WATCHDOGS[name]
    least_us, most_us = watchdog.bites_us(watchdog_us(period_us))
    assert 1.5 * period_us < least_us <= most_us
    assert most_us <= watchdog.patience * max(100_000, 5 * period_us)
    assert watchdog.patience == 1 or name == "mps2-an386"  # which has no motor


def test_a_period_that_no_watchdog_waits_for_is_refused() -> None:
    short = Watchdog("a fast clock", 1e6, 1e6, (1,), 65_535)
    with pytest.raises(UserError, match="cannot wait for 5000000 us \\(five control periods"):
        short.setting(watchdog_us(1_000_000))
