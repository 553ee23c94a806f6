"""Each mode by each clock: it does what it says, or is refused in one line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.hil.analysis.results import periods_us
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.planning.plan import make_plan
from sparsectl.hil.timing.pacing import RealtimePace
from sparsectl.hil.trial.trial import run_trial
from tests.hil.busy import LATE, in_real_time

Short = Callable[..., TrialConfig]
PERIOD_US = 20_000


@pytest.mark.parametrize(
    ("mode", "clock"),
    [
        *[("device", "lockstep"), ("device", "realtime"), ("device", "fast")],
        *[("host", "lockstep"), ("host", "realtime")],
        *[("pil", "lockstep"), ("pil", "realtime"), ("pil", "fast")],
    ],
)
def test_a_pair_does_what_it_says(short: Short, tmp_path: Path, mode: str, clock: str) -> None:
    # host mode's commands come too late on a busy machine, which this test is not about
    may_be_late = (mode, clock) == ("host", "realtime")

    def ran(number: int) -> tuple[TrialConfig, dict[str, Any]]:
        out = tmp_path / f"trial{number}"
        config = short(mode=mode, clock=clock, link_timeout_ticks=10, out=out)
        result = run_trial(config)
        if clock == "realtime" and not may_be_late and LATE.search(result["ended"]):
            raise UserError(result["ended"])
        return config, result

    config, result = in_real_time(ran)
    if not may_be_late:
        assert result["ended"] == "the pole was not up within 1 s"
        assert result["ticks"] + result["skipped"] >= 50
    assert (result["mode"], result["clock"], result["balanced"]) == (mode, clock, False)
    assert (result["noise_floor_us"] is not None) == (clock == "realtime")
    assert (result["clock_relation"] is not None) == (clock == "realtime" and mode != "pil")
    assert (result["round_trip_us"] is not None) == (clock != "lockstep")
    assert config.out is not None
    journal = read_journal(config.out / "journal.bin")
    elapsed_s = (journal.records[-1].host_ns - journal.records[0].host_ns) * 1e-9
    trace = read_trace(journal)
    ran_s = (trace.time_us[-1] - trace.time_us[0]) * 1e-6
    if clock == "realtime":  # a busy machine takes longer, or starts late and keeps to the grid
        assert elapsed_s > 0.8 * ran_s > (0 if mode == "host" else 1.1)
    if clock == "realtime" and mode == "pil":
        sent_us = periods_us(journal, trace)
        assert np.sum(sent_us) > 0.8 * 1e6 * ran_s and np.median(sent_us) > 0.5 * PERIOD_US
    if clock == "lockstep":
        assert {record.host_ns % (PERIOD_US * 1000) for record in journal.records} == {0}


@pytest.mark.parametrize(
    ("port", "mode", "clock", "complaint"),
    [
        ("virtual", "host", "fast", "is fast, which waits for no command; use lockstep"),
        ("/dev/ttyACM77", "device", "lockstep", "is lockstep, but the board on /dev/ttyACM77 has"),
        ("/dev/ttyACM77", "device", "fast", "is fast, but the board on /dev/ttyACM77 has a clock"),
        ("/dev/ttyACM77", "host", "lockstep", "is lockstep, but the board on /dev/ttyACM77 has"),
        ("/dev/ttyACM77", "host", "fast", "is fast, but the board on /dev/ttyACM77 has a clock"),
        ("/dev/ttyACM77", "pil", "lockstep", "which --port virtual alone has; use fast for"),
        ("emulated:microbit", "pil", "lockstep", "virtual alone has; use fast for emulated:micro"),
    ],
)
def test_a_pair_that_makes_no_sense_is_refused(
    short: Short, port: str, mode: str, clock: str, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        run_trial(short(port=port, mode=mode, clock=clock))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "clock"),
    [("device", "realtime"), ("host", "realtime"), ("pil", "realtime"), ("pil", "fast")],
)
def test_a_board_of_iron_takes_these(short: Short, mode: str, clock: str) -> None:
    plan = make_plan(short(port="/dev/ttyACM77", mode=mode, clock=clock))
    assert plan.is_realtime == (clock == "realtime") and not plan.is_lockstep


class Clock:
    """A clock that only sleeping moves, and that may be pushed on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 10**15
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def test_a_late_step_moves_none_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    begun_ns, pace = clock.now_ns, RealtimePace(PERIOD_US)
    due_ms: list[Any] = []
    for busy_ms in (0, 5, 27, 1, 69, 0, 0):
        pace.wait()
        due_ms.append((clock.now_ns - begun_ns) // 10**6)
        clock.now_ns += busy_ms * 10**6
    # 27 ms: one step is late, those after it are on the grid again; 69 ms: whole periods pass
    assert due_ms == [0, 20, 40, 67, 80, 149, 160]
