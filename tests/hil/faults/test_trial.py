"""Faults that a person orders with `sparsectl trial --fault`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.faults.kinds import INJECTABLE, FaultSpec, fault_help
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.trial.trial import run_trial
from sparsectl.protocol.wire import State
from tests.hil.policies import choosing_graph, export_graph

Short = Callable[..., TrialConfig]


def test_a_fault_of_the_plant(short: Short) -> None:
    result = run_trial(short(fault="overflowed_base_encoder@0.4"))
    assert result["ended"].startswith("the board stopped the trial: BASE_TRAVEL (the base reached")
    trace = read_trace(read_journal(Path(result["journal"])))
    active = int((trace.state == State.ACTIVE).sum())
    assert active * 0.02 == pytest.approx(0.4, abs=0.07)


def test_a_fault_of_the_line(short: Short, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not answer TIMESYNC; check cable"):
        run_trial(short(fault="cut_cable@0.2"))
    assert (tmp_path / "trial" / "summary.json").is_file()


def test_a_trial_lives_with_a_line_that_loses_a_little(short: Short) -> None:
    result = run_trial(short(fault="flipped_bits=0.0005@0", swing_up_limit_s=3.0))
    assert result["ended"] == "the pole was not up within 3 s"
    assert result["corrupt_frames"] > 0


@pytest.mark.parametrize("wiring", ["pole=unplugged", "pole=right"])
def test_an_encoder_that_never_counts_is_named(short: Short, wiring: str, tmp_path: Path) -> None:
    """The board stops the run soon, although the base stays within a hundredth of its limit."""
    policy = export_graph(choosing_graph(), tmp_path / "policies")
    config = short(wiring=wiring, swing_up_limit_s=2.0, policy=policy, firmware=tmp_path / "built")
    result = run_trial(config)
    told = "the pole's encoder counted 0; look at its plug"
    is_dead = wiring == "pole=unplugged"
    why = "the board stopped the trial: STUCK_POLE (while" if is_dead else "the pole was not up"
    assert result["ended"].startswith(why)
    assert (told in result["ended"]) == is_dead


def test_in_real_time_the_board_stops_itself(short: Short) -> None:
    """The host hears that the board faulted, though the board does not hear the host."""
    result = run_trial(short(clock="realtime", fault="cut_to_board@0.2"))
    assert (result["final_state"], result["fault"]) == ("FAULT", "LINK_LOST")


def test_a_paced_line_takes_the_time_of_its_bytes(short: Short) -> None:
    config = short(clock="realtime", paced=True, baud=57_600, link_timeout_ticks=10)
    result = run_trial(config)
    sizes_us = (14 + 26) * 10 / 57_600 * 1e6  # TIMESYNC and its answer, ten bits a byte
    assert result["round_trip_us"]["p50"] > sizes_us


@pytest.mark.parametrize(
    "text", ["gremlins@3", "stuck_pole_encoder@soon", "cut_cable=-1@2", "@", ""]
)
def test_an_unknown_fault_is_refused(short: Short, text: str) -> None:
    with pytest.raises(UserError, match=r"--fault is .*; (name one of stuck_pole|give NAME@)"):
        FaultSpec.parse(text)


@pytest.mark.parametrize(
    "changes", [{"mode": "pil"}, {"port": "/dev/ttyACM0"}, {"mode": "pil", "fault": None}]
)
def test_only_the_virtual_rig_has_faults(short: Short, changes: dict[str, str]) -> None:
    config = short(**{"fault": "jammed_base@1", "paced": True, **changes})
    with pytest.raises(UserError, match="use --port virtual and --mode device or host"):
        run_trial(config)


@pytest.mark.parametrize("name", INJECTABLE)
def test_a_spec_reads_back_what_it_says(name: str) -> None:
    for text in (f"{name}@5", f"{name}=0.25@1.5"):
        assert str(FaultSpec.parse(text)) == text
    assert name in fault_help()
