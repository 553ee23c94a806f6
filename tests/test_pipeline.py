"""The whole way by the command line: teacher, dataset, student, C, firmware, trial, report.

The student here is trained for seconds and need not balance; the trials that must balance are
driven by the teacher that comes with the rig, through the same export, firmware and virtual rig.

Commands run in this process, by the function that the program itself calls; the student's export
and the trial that has to balance are processes, as a person starts them.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sparsectl import cli
from sparsectl.plants.rig import rig_names
from tests.tools import need

ROOT = Path(__file__).resolve().parent.parent
TEACHERS = ROOT / "training" / "teachers"
RIGS = [name for name in rig_names() if (TEACHERS / f"{name}.onnx").is_file()]
assert "sensorsini_cartpole" in RIGS
RIG, BANG_BANG = "sensorsini_cartpole", "sensorsini_bang_bang"
"""Of the latter's units the teacher masters 95 in a hundred (docs/rigs.md), in 20 episodes a few
less."""
ENV = f"sparsectl/{RIG}-v0"


def sparsectl(*arguments: object, code: int = 0) -> dict[str, Any]:
    """Run a command with --json; its result."""
    words = [*map(str, arguments), "--json"]
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        ended = cli.run(words)
    return _result(ended, out.getvalue(), err.getvalue(), code)


def process(*arguments: object) -> dict[str, Any]:
    """The same in a process of its own."""
    words = [sys.executable, "-m", "sparsectl", *map(str, arguments), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    return _result(done.returncode, done.stdout, done.stderr, 0)


def _result(ended: int, out: str, err: str, code: int) -> dict[str, Any]:
    assert ended == code, err[-2000:]
    loaded: dict[str, Any] = json.loads(out) if code == 0 else {"error": err}
    return loaded


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with dataset, student and policy."""
    need("gcc")
    folder = tmp_path_factory.mktemp("run")
    teacher = TEACHERS / f"{RIG}.onnx"
    sparsectl(
        *("collect", "--teacher", teacher, "--env", ENV),
        *("--out", folder / "dataset.npz", "--transitions", 2000),
    )
    distilled = sparsectl(
        *("distill", "--dataset", folder / "dataset.npz", "--out", folder, "--preset", "quick"),
        *("--steps", 150, "--finetune.steps", 40),
    )
    assert distilled["teacher_parameters"] == 72_705
    assert 0 < distilled["kept_weights"] < 25 * 128 + 128 * 128 + 128
    exported = process("export", folder / "student.safetensors", "--out", folder / "policy")
    assert exported["bit_exact"]
    assert exported["kept_weights"] <= distilled["kept_weights"]
    return folder


@pytest.fixture(scope="module")
def teacher_policy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A rig → the exported policy of the teacher that comes with it, exported once."""

    @cache
    def exported(rig: str) -> Path:
        folder = tmp_path_factory.mktemp(rig) / "policy"
        sparsectl("export", TEACHERS / f"{rig}.onnx", "--out", folder)
        return folder

    return exported


def test_student_onnx_and_c_are_one_controller(run: Path) -> None:
    """The same return, to the last digit that rounding leaves, from student and policy.onnx."""
    words = ("--env", ENV, "--episodes", 3)
    student = sparsectl("evaluate", "--policy", run / "student.safetensors", *words)
    policy = sparsectl("evaluate", "--policy", run / "policy", *words)
    assert policy["return_mean"] == pytest.approx(student["return_mean"], rel=1e-2)
    assert student["return_low"] <= student["return_mean"] <= student["return_high"]


def test_export_twice_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    sparsectl("export", run / "student.safetensors", "--out", tmp_path)
    for name in ("policy.h", "policy_vectors.h"):
        assert (tmp_path / name).read_bytes() == (run / "policy" / name).read_bytes()


def test_build_and_bench_report_the_same_policy(run: Path) -> None:
    built = sparsectl("build", run / "policy", "--board", "host")
    benched = sparsectl("bench", run / "policy", "--board", "host")
    assert built["digest"] == benched["digest"]
    assert benched["bit_exact"] is True
    assert benched["max_abs_error"] < 1e-5  # against the model in float64
    assert benched["flash_bytes"] > 4 * benched["kept_weights"]


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("mode", ["device", "pil"])
def test_the_shipped_teacher_balances_in_the_virtual_rig(
    rig: str, mode: str, teacher_policy: Callable[[str], Path], tmp_path: Path
) -> None:
    policy = teacher_policy(rig)
    run_it = process if (rig, mode) == (RIG, "device") else sparsectl
    has_report = mode == "device"
    result = run_it(
        *("trial", "--policy", policy, "--port", "virtual", "--mode", mode),
        *("--clock", "lockstep", "--seconds", 8, "--out", tmp_path / "trial"),
        *("--firmware", policy.parent / "firmware"),  # built once
        *(() if has_report else ("--no-report",)),
    )
    assert result["balanced"], result["ended"]
    assert result["lost_frames"] == result["corrupt_frames"] == 0
    assert result["balanced_seconds"] >= 4
    if not has_report:
        return
    page = (tmp_path / "trial" / "report.html").read_text()
    assert ("Duty chosen, of all ticks" in page) == (result["choices"] is not None)


def test_a_trial_of_another_policy_than_the_firmwares_is_refused(
    run: Path, teacher_policy: Callable[[str], Path], tmp_path: Path
) -> None:
    """The folder's policy.onnx is exchanged for another one behind the C's back."""
    policy = shutil.copytree(teacher_policy(RIG), tmp_path / "policy")
    (policy / "policy.onnx").write_bytes((run / "policy" / "policy.onnx").read_bytes())
    refused = sparsectl("trial", "--policy", policy, "--out", tmp_path / "trial", code=2)
    assert "digest" in refused["error"]
    assert not (tmp_path / "trial").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("build", "POLICY", "--board", "potato"), "potato"),
        (("bench", "POLICY", "--board", "potato"), "potato"),
        (("build", "POLICY", "--rig", "seesaw"), "seesaw"),
        (("trial", "--policy", "POLICY", "--port", "/dev/ttyNONE", "--out", "OUT"), "/dev/ttyNONE"),
        (("trial", "--policy", "POLICY", "--rig", "seesaw", "--out", "OUT"), "seesaw"),
        (("evaluate", "--policy", "POLICY", "--env", "Pendulum-v1"), "25"),
        (("export", "POLICY", "--out", "OUT", "--encoding", "zip"), "zip"),
        (("export", "POLICY", "--out", "OUT", "--error", "1e-12"), "--error"),
    ],
)
def test_what_does_not_fit_the_policy_is_named_and_leaves_nothing(
    run: Path, tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    places = {"POLICY": run / "policy", "OUT": tmp_path / "out"}
    refused = sparsectl(*[places.get(word, word) for word in arguments], code=2)
    assert named in refused["error"]
    assert "Traceback" not in refused["error"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rig", RIGS)
def test_every_shipped_teacher_succeeds_and_has_the_papers_size(rig: str) -> None:
    """A sample of the 100 episodes that `evaluate` runs by default."""
    result = sparsectl("evaluate", "--policy", TEACHERS / f"{rig}.onnx", "--episodes", 20)
    assert result["success_rate"] >= (0.7 if rig == BANG_BANG else 0.9)
