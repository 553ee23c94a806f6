"""A sweep whose process is killed resumes where it stopped, and nothing runs twice."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sparsectl import cli
from sparsectl.common.warning import warn
from sparsectl.experiments.processes import outcome_of
from sparsectl.experiments.remote import run_remote
from tests.training.balancer import ENVIRONMENT, write_balancer

PATIENCE_S = 300.0
"""What takes longer is taken for a hang; nothing here depends on how long it takes."""
NAMES = ("free", "one", "bad")
ANOTHER = {
    "format": "sparsectl.sweep",
    "version": 1,
    "digest": "another",
    "runs": [],
    "file": "",
    "provenance": {},
}
"""The description of another sweep."""


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def is_alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs that wait for a gate, and one that fails."""
    shutil.copy(Path(__file__).parent / "gate.py", tmp_path / "gate.py")
    write_balancer(tmp_path / "teacher.safetensors")
    environments = "".join(
        f'[environment.{name}]\nenv = "gate:Gate"\nenv_kwargs = ["name={name}"]\n' for name in NAMES
    )
    shared = 'teacher = "teacher.safetensors"\n[evaluate]\nepisodes = 1\n'
    (tmp_path / "s.toml").write_text(shared + environments)
    (tmp_path / "fail-bad").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def started(folder: Path, name: str) -> list[int]:
    """The processes that began the run."""
    path = folder / f"started-{name}"
    return sorted(set(map(int, path.read_text().split()))) if path.exists() else []


def sweep(folder: Path, *words: str) -> list[str]:
    return ["sweep", str(folder / "s.toml"), "--out", str(folder / "out"), "--json", *words]


def test_a_killed_sweep_goes_on_where_it_stopped(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "sparsectl", *sweep(folder, "--processes", "3")]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = folder / "out" / "tasks"
    try:
        until(lambda: bool(started(folder, "one")) and bool(list(done.glob("*/failed.json"))))
        until(lambda: len(list(done.glob("*/done.json"))) == 1)
        # A second one in the same folder is refused while the first runs.
        assert cli.run(sweep(folder)) == 2
        assert "another sparsectl is writing to" in capsys.readouterr().err
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    # What the killed sweep began may still run for a moment; the next sweep waits for its end.
    [waiting] = started(folder, "one")
    gate = threading.Timer(1.0, (folder / "go").touch)
    gate.start()
    assert cli.run(sweep(folder)) == 5
    gate.join()
    assert not is_alive(waiting)
    result = json.loads(capsys.readouterr().out)
    assert (result["runs"], result["done"], result["failed"]) == (3, 2, 1)
    [failure] = result["failures"]
    assert failure["run"] == "bad, seed 0" and failure["exit_code"] != 0
    assert "the motor burns" in failure["error"]
    assert "the motor burns" in Path(failure["log"]).read_text()
    assert [len(started(folder, name)) for name in NAMES] == [1, 2, 2]

    (folder / "fail-bad").unlink()
    assert cli.run(sweep(folder, "--skip-failed")) == 5
    copy = folder / "elsewhere" / "copy"
    shutil.copytree(folder / "out", copy)
    assert cli.run([*sweep(folder), "--out", str(copy)]) == 0
    assert [len(started(folder, name)) for name in NAMES] == [1, 2, 3]
    assert not list(copy.rglob(".*"))


def test_a_checkpoint_of_another_version_has_a_mend_that_a_sweep_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balancer(tmp_path / "teacher.safetensors")
    text = f'teacher = "teacher.safetensors"\nenv = "{ENVIRONMENT}"\n[collect]\ntransitions = 300\n'
    (tmp_path / "s.toml").write_text(
        f'{text}[distill]\nteacher = "None"\nmethod = "gradual"\nsteps = 5\nfinetune.steps = 2\n'
        "evidence.episodes = 0\nepisodes = 2\nfinal_episodes = 2\n[grid]\n"
    )
    assert cli.run(sweep(tmp_path, "--dry-run")) == 0
    names = [task["task"] for task in json.loads(capsys.readouterr().out)["tasks"]]
    place = tmp_path / "out" / "tasks" / names[1]
    place.mkdir(parents=True)
    header = {"sparsectl": json.dumps({"format": "sparsectl.checkpoint", "version": 0})}
    save_file({"a": torch.zeros(1)}, place / "checkpoint.safetensors", header)
    (tmp_path / "out" / "sweep.json").write_text(json.dumps(ANOTHER))
    assert cli.run(sweep(tmp_path, "--update")) == 5
    [failure] = json.loads(capsys.readouterr().out)["failures"]
    assert "or remove checkpoint.safetensors" in failure["error"]
    assert failure["log"].startswith(str(place))
    (place / "checkpoint.safetensors").unlink()
    assert cli.run(sweep(tmp_path)) == 0


def test_a_dry_run_says_what_the_run_will_refuse(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "sweep.json").write_text(json.dumps(ANOTHER))
    warn.cache_clear()
    assert cli.run(sweep(folder, "--dry-run", "--update")) == 0
    assert not capsys.readouterr().err
    assert cli.run(sweep(folder, "--dry-run")) == 0
    said = capsys.readouterr().err
    assert "without --dry-run this is refused" in said and "or --update to keep" in said


def test_a_task_that_hangs_is_stopped_by_the_time_limit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*sweep(folder), "--environment", "one"]
    assert cli.run([*words, "--time-limit", "0.02"]) == 5
    [failure] = json.loads(capsys.readouterr().out)["failures"]
    assert failure["exit_code"] == 124 and failure["error"].startswith("stopped by --time-limit")
    assert not any(map(is_alive, started(folder, "one")))
    (folder / "go").touch()
    assert cli.run(words) == 0
    for limit in ("-1", "nan", "inf"):
        assert cli.run([*words, f"--time-limit={limit}"]) == 2


def test_a_workers_command_that_hangs_is_killed(folder: Path) -> None:
    """As on a cluster, whose workers have no sweep beside them."""
    teacher = {"": (folder / "teacher.safetensors").read_bytes()}
    words = [
        "evaluate",
        "--policy",
        "teacher.safetensors",
        "--env",
        "gate:Gate",
        "--env-kwargs",
        "name=one",
    ]
    run = partial(run_remote, words, "made", [])
    code, _, _, _, files = run(0.1, ["teacher.safetensors"], teacher)
    assert (code, files) == (124, {})
    assert outcome_of(code, b"", "", 1.0).error == "stopped by --time-limit"
    assert not any(map(is_alive, started(folder, "one")))
    (folder / "go").touch()
    code, output, _, _, _ = run(math.inf, ["teacher.safetensors"], teacher)
    assert code == 0 and json.loads(output)["episodes"]


def test_a_folder_of_something_else_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    out.mkdir()
    (out / "theirs").write_text("theirs")
    assert cli.run(sweep(folder)) == 2
    assert "files that are of no sweep" in capsys.readouterr().err
    (out / "theirs").unlink()
    (out / "sweep.json").write_text(json.dumps(ANOTHER))
    assert cli.run(sweep(folder)) == 2
    said = capsys.readouterr().err
    assert "0 of the file's 3 runs are the same" in said and "--update" in said
    assert [path.name for path in out.iterdir()] == ["sweep.json"]
