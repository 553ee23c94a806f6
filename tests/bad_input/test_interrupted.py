"""Ctrl-C in the middle of each long command: exit code 130, one line, nothing half made.

The signal comes at the first step that the command shows, or with the first program that it starts,
so at the same place in every run.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsectl import cli
from sparsectl.common.progress import Progress

LONG = {
    "teach": "--env Pendulum-v1 --steps 20 --learning-starts 10 --hidden 8 --environments 1 "
    "--evaluate-episodes 1",
    "collect": "--teacher {teacher} --env {env} --transitions 400 --workers 1",
    "distill": "--dataset {dataset} --preset quick --method gradual --steps 400 --hidden 8 "
    "--batch-size 32",
    "pareto": "{students} --episodes 2",
    "evaluate": "--policy {teacher} --episodes 2",
    "export": "{model} --observations 50",
    "build": "{policy}",
    "bench": "{policy} --board host",
}
OTHERS = {"demo", "trial", "flash", "replay", "convert", "identify", "report", "sweep"}
OTHERS |= {"doctor", "adapt"}
"""Made of those, done in a moment, or with ends of their own: hil/test_interruption.py of a trial,
experiments/test_sweep.py of a sweep, commands/test_adapt.py of an adaptation."""
RESUMED = {"teach", "distill"}
"""They keep what they have, and go on."""


def test_every_command_is_either_long_or_not() -> None:
    assert set(LONG) | OTHERS == set(cli.COMMANDS) and not set(LONG) & OTHERS


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Where the signal came, once it has."""
    came: list[str] = []

    def first(place: str, function: Any) -> Any:
        def called(*arguments: Any, **settings: Any) -> Any:
            if not came:
                came.append(place)
                signal.raise_signal(signal.SIGINT)
            return function(*arguments, **settings)

        return called

    monkeypatch.setattr(Progress, "update", first("a step", Progress.update))
    monkeypatch.setattr(subprocess, "run", first("a program", subprocess.run))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    yield came
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", LONG)
def test_ctrl_c(
    command: str,
    good: dict[str, str],
    interrupted: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [word.format(**good) for word in LONG[command].split()]
    if "out" in cli.COMMANDS[command].config.__dataclass_fields__:
        words += ["--out", str(tmp_path / "new" / "made.npz")]
    assert cli.run([command, *words]) == 130, capsys.readouterr().err
    said = capsys.readouterr().err
    assert interrupted and "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith(f"sparsectl {command}: stopped"), said
    if command in RESUMED:
        assert last.endswith("the same command resumes from there")
        assert (tmp_path / "new" / "made.npz" / "checkpoint.safetensors").is_file()
    else:
        assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
