from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsectl.hil.analysis.results import assess
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.trial.trial import run_trial
from tests.hil.policies import EASY_RIG

Short = Callable[..., TrialConfig]

DESIGN_KEYS = {
    *("digest", "mode", "clock", "ticks", "skipped", "lost_frames", "corrupt_frames"),
    *("balanced_seconds", "final_state", "period_us", "jitter_us", "round_trip_us"),
    *("inference_us", "journal", "report"),
}


@pytest.mark.parametrize("mode", ["device", "pil"])
def test_a_policy_swings_up_balances_and_survives_kicks(
    easy: Path, tmp_path: Path, mode: str
) -> None:
    result = run_trial(
        TrialConfig(
            policy=easy,
            firmware=easy.parent / "firmware",
            rig=str(EASY_RIG),
            mode=mode,  # type: ignore[arg-type]
            clock="lockstep",
            seconds=6.0,
            disturbances=2,
            out=tmp_path / "trial",
            report=False,
        )
    )
    assert result.keys() >= DESIGN_KEYS
    assert result["balanced"] and result["ended"] == "completed", result
    assert len(result["disturbances"]) == 2
    assert result["balanced_seconds"] > 1.0 and result["swing_up_seconds"] > 0.2
    assert result["final_state"] in ("HOMED", "STOPPING") and result["fault"] == "NONE"
    assert result["lost_frames"] == result["corrupt_frames"] == result["skipped"] == 0
    summary = json.loads((tmp_path / "trial" / "summary.json").read_text())
    assert summary["trial"] == result
    assert read_journal(tmp_path / "trial" / "journal.bin").dropped_bytes == 0


@pytest.mark.parametrize("mode", ["device", "host", "pil"])
def test_two_lockstep_trials_give_the_same_bytes(short: Short, tmp_path: Path, mode: str) -> None:
    journals = []
    for name in ("one", "two"):
        run_trial(short(mode=mode, out=tmp_path / name, seed=5, randomised=True))
        journals.append((tmp_path / name / "journal.bin").read_bytes())
    assert journals[0] == journals[1]
    journal = read_journal(tmp_path / "two" / "journal.bin")
    assert any(duty != 0 for duty in read_trace(journal).duty)
    assert {record.host_ns % 20_000_000 for record in journal.records} == {0}  # the board's time
    assert journal.records[-1].host_ns > 10**9
    assert assess(journal).round_trip_us is None


def test_a_torn_journal_gives_the_figures_as_far_as_it_goes(short: Short, tmp_path: Path) -> None:
    whole = run_trial(short())
    path = tmp_path / "trial" / "journal.bin"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    torn = assess(read_journal(path))
    assert torn.digest == whole["digest"]
    assert 0 < torn.ticks < whole["ticks"]
    assert torn.ended == "the journal stops in the middle of the trial"


def test_a_trial_replaces_an_earlier_one(short: Short, tmp_path: Path) -> None:
    run_trial(short(seed=1))
    run_trial(short(seed=2))
    assert read_journal(tmp_path / "trial" / "journal.bin").header.config.seed == 2


def test_the_header_holds_what_is_needed_to_repeat(short: Short, tmp_path: Path) -> None:
    result = run_trial(short(seed=7))
    header = read_journal(tmp_path / "trial" / "journal.bin").header
    assert header.digest == result["digest"]
    assert header.config.seed == 7
    assert header.rig == "sensorsini_cartpole"
    assert {"revision", "python"} <= header.provenance.keys()
    summary = json.loads((tmp_path / "trial" / "summary.json").read_text())
    assert "command" in summary["provenance"] and summary["config"]["out"] == str(
        tmp_path / "trial"
    )
