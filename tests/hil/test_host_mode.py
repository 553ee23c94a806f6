"""Host mode from end to end: the policy runs here, the board does the I/O."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sparsectl.hil.analysis.results import active_part
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import Kind, read_journal
from sparsectl.hil.journal.trace import Trace, read_trace
from sparsectl.hil.trial.trial import run_trial
from tests.hil.policies import EASY_RIG

Short = Callable[..., TrialConfig]


def _trace(config: TrialConfig) -> Trace:
    result = run_trial(config)
    assert result["mode"] == config.mode
    if config.clock == "lockstep":  # in real time a busy machine's command may come too late
        assert (result["final_state"], result["fault"]) == ("HOMED", "NONE")
    assert config.out is not None
    return read_trace(read_journal(config.out / "journal.bin"))


def test_the_host_drives_as_the_board_would_bit_for_bit(easy: Path, tmp_path: Path) -> None:
    traces = [
        _trace(
            TrialConfig(
                policy=easy,
                firmware=easy.parent / "firmware",
                rig=str(EASY_RIG),
                mode=mode,  # type: ignore[arg-type]
                clock="lockstep",
                seconds=1.0,
                disturbances=0,
                link_timeout_ticks=2,  # a tick a STEP: both are armed at the same tick
                out=tmp_path / mode,
                report=False,
            )
        )
        for mode in ("device", "host")
    ]
    active = [active_part(trace) for trace in traces]
    length = min(map(len, active))  # they are armed, and end, some ticks apart
    assert length > 80
    for column in ("base_position", "pole_angle_rad", "duty", "policy_output"):
        device, host = (getattr(trace, column)[:length] for trace in active)
        assert np.array_equal(device, host), column
    assert np.abs(active[1].duty).max() > 0.3


def test_in_real_time(short: Short) -> None:
    config = short(mode="host", clock="realtime", link_timeout_ticks=10)
    trace = _trace(config)
    assert config.out is not None
    journal = read_journal(config.out / "journal.bin")
    answered = trace.actuation_us < 20_000
    sent = sum(record.kind is Kind.TO_DEVICE for record in journal.records)
    assert sent > answered.sum()  # a host that is held up answers fewer ticks than there are
    assert answered.any() and (trace.inference_ns[answered] > 0).all()


def test_a_tick_that_the_line_loses_is_counted_and_no_mistake(short: Short) -> None:
    """In lockstep its command was asked again, and refused with WRONG_TICK: exit code 2."""
    result = run_trial(short(mode="host", fault="dropped_bytes=0.001@0.2"))
    assert result["fault"] == "NONE" and result["ended"].startswith("the pole was not up")
    assert 0 < result["lost_frames"] < 10
