"""The demo refuses before its first stage, and takes no folder that is another's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sparsectl.commands.config import DemoConfig
from sparsectl.commands.demo import demo
from sparsectl.common.errors import UserError


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
