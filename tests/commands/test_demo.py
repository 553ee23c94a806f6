"""The demo refuses before its first stage, and takes no folder that is another's."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import pytest

from sparsectl.command_line.config import DemoConfig
from sparsectl.commands import demo as module
from sparsectl.commands.demo import STAGES, SUMMARY, delay_of, demo, table
from sparsectl.common.errors import EXIT_FAULT, UserError
from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import JournalWriter
from sparsectl.hil.trial.trial import run_trial
from tests.hil.policies import export_graph, timid_graph
from tests.hil.started_rigs import rigs_as_they_start


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rig": "seesaw"}, "rig 'seesaw' has no shipped teacher"),
        ({"seconds": float("nan")}, "seconds is nan; give a number from 0.1"),
        ({"episodes": 0}, "episodes is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"out": Path("/proc/zz")}, "cannot write /proc/zz"),
    ],
)
def test_settings_are_refused_at_once(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        demo(replace(DemoConfig(out=tmp_path / "new"), **change))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("summary", [None, {}, {"config": {"env": "Pendulum-v1"}}])
def test_a_folder_of_something_else_is_left_alone(summary: object, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    if summary is not None:
        (tmp_path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(UserError, match="which no demo wrote and this one would remove"):
        demo(DemoConfig(out=tmp_path))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_trial_that_faults_is_the_demos_fault_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last stage of a demo that was interrupted after its trial, which its board had ended."""
    out = tmp_path / "demo"
    policy = export_graph(timid_graph(), out)
    driven = run_trial(
        TrialConfig(
            policy=policy,
            clock="lockstep",
            fault="whirled_pole@0.3",
            out=out / "trial",
            firmware=out / "firmware",
            report=False,
        )
    )
    config = DemoConfig(out=out)
    evidence = dict.fromkeys(
        (
            *("episodes", "return_mean", "return_low", "return_high", "teacher_return_mean"),
            *("difference", "difference_low", "difference_high"),
            *("teacher_failures_per_1000", "failures_per_1000", "failures_low", "failures_high"),
        ),
        1.0,
    )
    counts = {"teacher_weights": 9, "teacher_parameters": 9, "kept_weights": 9}
    write_json(
        out / "summary.json",
        {
            "config": {**asdict(config), "out": str(out)},
            "provenance": provenance(),
            "stage_seconds": {},
            **dict.fromkeys(("teacher", "collect", "export", "build"), {}),
            "evaluate_teacher": {**evidence, "success_rate": 1.0},
            "evaluate_student": {**evidence, "success_rate": 1.0},
            "distill": {"evidence": evidence, **counts, "kept_parameters": 9},
            "bench": {"flash_bytes": 9},
            "trial": driven,
        },
    )
    result = demo(config)
    assert result["exit_code"] == EXIT_FAULT and result["complete"]
    assert "the demo's trial ended in a fault: the board stopped" in capsys.readouterr().err
    written = [row[0] for row in table(result | {"report": {"report": "report.html"}})]
    assert "timing in the trial" in written  # which a virtual clock does not measure
    assert not [row for row in written if "inference" in row or "jitter" in row]


def begun(config: DemoConfig, **stages: Any) -> None:
    """Leave what an unfinished demo leaves."""
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(config).items()}
    config.out.mkdir()
    summary = {"config": plain, "provenance": provenance(), "stage_seconds": {}} | stages
    (config.out / SUMMARY).write_text(json.dumps(summary))


class Reached(Exception):
    """A stage was not kept."""


def first_stage_run(config: DemoConfig, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the first stage that the demo does not take from before."""
    reached: list[str] = []

    def stage(name: str) -> Callable[[DemoConfig], dict[str, Any]]:
        def run(config: DemoConfig) -> dict[str, Any]:
            reached.append(name)
            raise Reached

        return run

    monkeypatch.setattr(module, "STAGES", {name: stage(name) for name in STAGES})
    with pytest.raises(Reached):
        demo(config)
    return reached[0]


def test_an_interrupted_demo_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DemoConfig(out=tmp_path / "run")
    begun(config, teacher={}, evaluate_teacher={})
    assert first_stage_run(config, monkeypatch) == "collect"


@pytest.mark.parametrize(
    "change",
    [
        {"provenance": {"sparsectl": "0.0.1", "revision": "0123456789ab"}},
        {"provenance": None},
        {"stage_seconds": None},
        {"teacher": 3},
    ],
)
def test_an_unfinished_demo_of_another_version_begins_anew(
    change: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = DemoConfig(out=tmp_path / "run")
    begun(config, **({"teacher": {}, "evaluate_teacher": {}} | change))
    (config.out / "rounds").mkdir()
    assert first_stage_run(config, monkeypatch) == "teacher"
    assert "from another version of sparsectl; it starts again" in capsys.readouterr().err
    assert not (config.out / "rounds").exists()


def test_a_stage_without_its_figures_is_one_line(tmp_path: Path) -> None:
    config = DemoConfig(out=tmp_path / "run")
    begun(config, **{name: {} for name in STAGES})
    with pytest.raises(UserError, match="lacks a figure that the table shows"):
        demo(config)


@pytest.mark.parametrize("pause_s", [0.15, None])
def test_a_trial_that_the_machine_was_too_busy_for_is_run_in_lockstep(
    pause_s: float | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In its middle the board gets no processor: for longer than a duty may be old, or no more."""
    export_graph(timid_graph(), tmp_path / "run")
    boards, note = rigs_as_they_start(monkeypatch), JournalWriter.note

    def starve(journal: JournalWriter, name: str, *when: int | None, **fields: Any) -> None:
        note(journal, name, *when, **fields)
        if fields.get("phase") == "swing up" and len(boards) == 1:
            board = boards[0].firmware_process
            board.send_signal(signal.SIGSTOP)
            if pause_s is not None:
                time.sleep(pause_s)
                board.send_signal(signal.SIGCONT)

    def run(config: TrialConfig) -> dict[str, Any]:
        # In real time only its board's stop ends the trial.
        limit_s = 60.0 if config.clock == "realtime" else 1.0
        return run_trial(replace(config, swing_up_limit_s=limit_s))

    monkeypatch.setattr(JournalWriter, "note", starve)
    monkeypatch.setattr(module, "run_trial", run)
    result = module.trial(DemoConfig(out=tmp_path / "run", seconds=1.0))
    reported = capsys.readouterr().err
    assert reported.count("this machine is too busy for a trial in real time (") == 1
    assert pause_s is None or "trial ended: the board stopped the trial: OVERRUN" in reported
    assert (result["clock"], result["fault"]) == ("lockstep", "NONE")
    assert result["inference_us"]["p50"] >= 0


@pytest.mark.parametrize(
    ("result", "delay"),
    [
        ({"balanced": True, "skipped": 7}, ""),
        ({"fault": "OVERRUN"}, "OVERRUN"),
        ({"fault": "LINK_LOST", "skipped": 2}, "LINK_LOST"),
        ({"fault": "BASE_TRAVEL", "skipped": 3, "late_ticks": 1}, "ticks skipped: 3, late: 1"),
        ({"skipped": 1}, "ticks skipped: 1, late: 0"),  # the pole was never up
        ({"fault": "BASE_TRAVEL"}, ""),
        ({}, ""),
    ],
)
def test_a_failed_trial_that_was_in_time_is_the_policys_own(
    result: dict[str, Any], delay: str
) -> None:
    assert delay_of(IN_TIME | result) == delay


IN_TIME: Final = {"balanced": False, "fault": "NONE", "skipped": 0, "late_ticks": 0}
