"""The benchmarks of students run whole, at a tiny size, and write what the tables read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro

from sparsectl import cli
from sparsectl.common.files import read_json, write_json
from sparsectl.training.teachers.teach import signals_of
from sparsectl.training.teachers.teacher_file import Weights, write_teacher

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import methods  # noqa: E402
import tasks  # noqa: E402
import teacher_a_rig  # noqa: E402
from demo_student import demo_student, outside  # noqa: E402

TINY = json.dumps(
    {
        "hidden": [6, 6],
        "steps": 20,
        "finetune.steps": 20,
        "finetune.prune_rounds": 1,
        "finetune.rounds": 0,
        "finetune.newton_rows": 300,
        "finetune.newton_steps": 2,
        "dagger.transitions": 200,
        "dagger.tries": 1,
        "episodes": 2,
        "evidence.episodes": 2,
    }
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Does what a benchmark does on the command line, in this process, which has torch already."""

    def run(main: Callable[[Any], None], config: type, *words: str) -> None:
        monkeypatch.setattr(sys, "argv", [sys.modules[main.__module__].__file__, *words])
        main(tyro.cli(config))

    return run


def weights(inputs: int) -> Weights:
    random = np.random.default_rng(0)
    return [
        (random.normal(0, 0.5, (out, into)).astype(np.float32), np.zeros(out, np.float32))
        for into, out in ((inputs, 8), (8, 1))
    ]


def check_intervals(figures: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"], name


def test_tasks_sparse_beside_dense(run: Callable[..., None], tmp_path: Path) -> None:
    teacher = tmp_path / "teachers" / "Pendulum-v1" / "teacher.onnx"
    write_teacher(teacher, weights(3), signals_of("Pendulum-v1"), "Pendulum-v1", {})
    out = tmp_path / "tasks.json"
    committed = read_json(BENCHMARKS / "results" / "tasks.json")
    write_json(out, committed)
    words = ["--tasks", "Pendulum-v1", "--seeds", "0", "--episodes", "4", "--transitions", "600"]
    words += ["--teachers", str(tmp_path / "teachers"), "--runs", str(tmp_path / "runs")]
    run(tasks.main, tasks.TasksConfig, *words, "--out", str(out), "--changes", TINY)
    written = read_json(out)["tasks"]
    entry = written.pop("Pendulum-v1")  # of another teacher: its former students are gone
    former = committed["tasks"].pop("Pendulum-v1")
    assert written == committed["tasks"] and entry["teacher"]["mark"] != former["teacher"]["mark"]
    assert len(entry["sparse"]["students"]) == 1
    sparse, dense = (entry[kind]["students"][0] for kind in ("sparse", "dense"))
    assert sparse["kept_weights"] <= 60
    assert dense["table_bytes"] <= sparse["table_bytes"]
    assert len(sparse["returns"]) == len(dense["returns"]) == len(entry["teacher"]["returns"]) == 4
    check_intervals(entry["sparse"]["figures"], ("difference", "failures_per_1000"))
    assert str(tmp_path) not in json.dumps(entry)  # the command too
    lost = np.mean(sparse["returns"]) - np.mean(entry["teacher"]["returns"])
    share = lost / abs(np.mean(entry["teacher"]["returns"]))
    assert entry["sparse"]["figures"]["difference"] == pytest.approx(share, abs=1e-3)


def test_methods_beside_their_teacher(run: Callable[..., None], tmp_path: Path) -> None:
    out = tmp_path / "methods.json"
    changes = {f"distill.{name}": value for name, value in json.loads(TINY).items()}
    changes |= {"collect.transitions": 1_500, "distill.hidden": [[6, 6]]}
    tiny = "".join(f'"{name}" = {json.dumps(value)}\n' for name, value in changes.items())
    text = (BENCHMARKS / "methods.toml").read_text().replace('"../', f'"{BENCHMARKS.parent}/')
    file, sweep = tmp_path / "methods.toml", tmp_path / "sweep"
    file.write_text(text + tiny)
    words = ["--method", "bpd, quick-236", "--seed", "0", "--out", str(sweep)]
    assert cli.run(["sweep", str(file), *words]) == 0
    words = ["--sweep", str(sweep), "--episodes", "3", "--out", str(out)]
    run(methods.gather, methods.MethodsConfig, *words)
    results = read_json(out)
    figures = results["recipes"]["bpd, quick-236"]
    check_intervals(figures, ("difference", "failures_per_1000"))
    assert (figures["seeds"], figures["episodes"]) == (1, 3)
    teacher = results["teacher"]
    assert (teacher["weights"], teacher["parameters"]) == (72_192, 72_705)
    steps = results["students"][0]["distill"]["steps"]
    assert {step["episodes"] for step in steps} == {2}
    assert str(tmp_path) not in out.read_text()


def test_the_demos_figures_lie_within_the_readmes_intervals() -> None:
    results = BENCHMARKS / "results"
    demo = read_json(results / "demo.json")
    recipe = read_json(results / "methods_sensorsini_cartpole.json")["recipes"]["bpd, quick-236"]
    assert outside(demo, recipe) == []
    evidence = demo["evidence"] | {"difference": -0.2, "failures_per_1000": 500.0}
    assert outside({"evidence": evidence}, recipe) == ["difference", "failures_per_1000"]


def test_a_demos_student_is_told_without_places_of_the_machine(tmp_path: Path) -> None:
    kept = read_json(BENCHMARKS / "results" / "demo.json")
    kept.pop("returns", None)
    command = {"command": ["sparsectl", "demo", "--out", str(tmp_path)], "machine": "here"}
    stages = {
        "config": {"seed": 3, "out": str(tmp_path)},
        "provenance": kept["provenance"] | command,
        "distill": kept | {"student": str(tmp_path / "student.safetensors")},
    }
    write_json(tmp_path / "summary.json", stages)
    reported = demo_student(tmp_path)
    assert reported == kept | {"seed": 3} and str(tmp_path) not in json.dumps(reported)
    del stages["distill"]
    write_json(tmp_path / "summary.json", stages)
    with pytest.raises(SystemExit, match="has no student yet"):
        demo_student(tmp_path)


def test_a_teacher_of_one_drawn_rig_plays_the_episodes_of_the_policy_for_any(
    tmp_path: Path, run: Callable[..., None]
) -> None:
    out = tmp_path / "rows.json"
    words = ["--rigs", "1", "--steps", "512", "--learning-starts", "256"]
    words += ["--backend", "sb3", "--episodes", "2"]
    words += ["--runs", str(tmp_path / "runs"), "--out", str(out)]
    run(teacher_a_rig.main, teacher_a_rig.Config, *words)
    (row,) = read_json(out)["rows"]
    assert (row["family"], row["rig"], row["steps"]) == ("cartpole", teacher_a_rig.FIRST_RIG, 512)
    assert len(row["teacher"]) == len(row["student"]) == 2
    assert min(row["student"]) > max(row["teacher"])  # which has learnt nothing in 512 steps
    written = out.read_bytes()
    run(teacher_a_rig.main, teacher_a_rig.Config, *words)
    assert out.read_bytes() == written
