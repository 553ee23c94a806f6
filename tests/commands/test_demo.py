"""The demo refuses before its first stage, and takes no folder that is another's."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sparsectl.commands.config import DemoConfig
from sparsectl.commands.demo import demo
from sparsectl.common.errors import EXIT_FAULT, UserError
from sparsectl.common.files import write_json
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.trial import run_trial
from tests.hil.policies import export_graph, timid_graph


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rig": "seesaw"}, "no teacher comes with rig 'seesaw'"),
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
    with pytest.raises(UserError, match="is of no demo and would be removed"):
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
