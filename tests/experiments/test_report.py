"""The report of a sweep: its figures are those of the runs, and its page needs no other file."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl import cli
from sparsectl.experiments.charts import figures
from sparsectl.experiments.results import read_results, summaries

RETURNS = {
    ("cart", "bpd"): (90.0, 95.0, 100.0, 55.0, 98.0),
    ("cart", "small <&>"): (80.0, 85.0, 81.0, 70.0),
    ("hopper", "bpd"): (-110.0, -90.0),
    ("hopper", "small <&>"): (-150.0, -100.0),
}
TEACHERS = {"cart": 100.0, "hopper": -100.0}


def write_done(folder: Path, name: str, result: dict[str, Any]) -> str:
    place = folder / "tasks" / name
    place.mkdir(parents=True, exist_ok=True)
    ran = {"revision": "abc" if name.startswith("distill") else "def"}
    said = {"result": result, "files": {}, "seconds": 1.0, "provenance": ran}
    (place / "done.json").write_text(json.dumps(said))
    return name


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """As a sweep leaves it: two environments, two methods, a run that failed, one not begun."""
    runs = []
    for (environment, method), returns in RETURNS.items():
        beside = {"return_mean": TEACHERS[environment], "return_min": 0.0}
        teacher = write_done(tmp_path, f"evaluate-{environment}", beside)
        for seed, value in enumerate(returns):
            name = f"{environment}-{len(method)}-{seed}"
            steps = [
                {"name": "bpd", "kept_weights": 400 + seed, "difference": -0.2},
                {"name": "finetune", "kept_weights": 20 + seed, "difference": -0.1},
            ]
            counts = {"kept_weights": 20 + seed, "kept_parameters": 30}
            counts |= {"teacher_weights": 1000, "teacher_parameters": 1100, "seconds": 61.0}
            distilled = write_done(tmp_path, f"distill-{name}", {"steps": steps, **counts})
            ends = {"return_low": value - 1, "return_high": value + 1, "episodes": 10}
            reported = {"return_mean": value, "return_min": value - 5, **ends}
            tasks = {"distill": distilled, "evaluate": write_done(tmp_path, f"e-{name}", reported)}
            runs.append(described(environment, method, seed, tasks, teacher))
    for seed in (8, 9):
        tasks = {"distill": f"distill-{seed}", "evaluate": f"e-{seed}"}
        runs.append(described("cart", "bpd", seed, tasks, None))
    failed = tmp_path / "tasks" / "distill-8" / "failed.json"
    failed.parent.mkdir()
    failed.write_text(json.dumps({"error": "training <diverged>", "exit_code": 2}))
    provenance = {"sparsectl": "1", "revision": "abc"}
    said = {"format": "sparsectl.sweep", "version": 1, "digest": "d", "runs": runs}
    (tmp_path / "sweep.json").write_text(
        json.dumps(said | {"file": "[grid] # <b>", "provenance": provenance})
    )
    return tmp_path


def described(
    environment: str, method: str, seed: int, tasks: dict[str, str], teacher: str | None
) -> dict[str, Any]:
    name = f"{environment}, {method}, seed {seed}"
    about = {"name": name, "environment": environment, "method": method, "seed": seed}
    return about | {"tasks": tasks, "teacher": teacher}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_and_its_tables(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", str(sweep), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["runs"], result["unfinished"]) == (13, 2)
    page = (sweep / "report.html").read_text()
    assert not re.search(r'(?:src|href)="(?!#)|url\((?!#)|<script', page)
    assert "training &lt;diverged&gt;" in page and "small &lt;&amp;&gt;" in page
    assert "small <&>" not in page and "[grid] # &lt;b&gt;" in page
    assert "revisions abc, def" in page and "made by 2 revisions" in page
    assert page.count("<svg") == 3  # intervals, the front by weights, stages
    for path in result["files"]:
        assert Path(path).stat().st_size > 50

    rows = rows_of(sweep / "report_runs.csv")
    assert len(rows) == 13
    worst = next(r for r in rows if (r["environment"], r["seed"]) == ("hopper", "0"))
    assert float(worst["score"]) == pytest.approx(0.9)  # 10 less than -100 is a tenth lost
    methods = {(r["environment"], r["method"]): r for r in rows_of(sweep / "report_methods.csv")}
    whole = methods["all environments", "bpd"]
    scores = sorted([0.9, 0.95, 1.0, 0.55, 0.98, 0.9, 1.1])
    assert float(whole["mean"]) == pytest.approx(np.mean(scores))
    assert float(whole["iqm"]) == pytest.approx(np.mean(scores[1:-1]))
    assert float(whole["lowest"]) == pytest.approx(0.55)
    assert float(whole["iqm_interval_low"]) < float(whole["iqm"])
    assert float(methods["cart", "bpd"]["kept_weights_share"]) == pytest.approx(0.022)
    [pair] = rows_of(sweep / "report_comparisons.csv")
    cart = np.mean([a > b for a in RETURNS["cart", "bpd"] for b in (80, 85, 81, 70)])
    hopper = np.mean([a > b for a in (-110, -90) for b in (-150, -100)])
    assert float(pair["probability"]) == pytest.approx((cart + hopper) / 2)


def test_the_legends_lie_within_their_figures(sweep: Path) -> None:
    """With long names of methods and a single panel."""
    text = (sweep / "sweep.json").read_text()
    said = json.loads(text)
    for run in said["runs"]:
        run["method"] = f"{run['method']}, student-driven and with a long name"
    said["runs"] = [run for run in said["runs"] if run["environment"] == "cart"]
    (sweep / "sweep.json").write_text(json.dumps(said))
    results = read_results(sweep)
    for name, _, figure in figures(results, summaries(results)):
        figure.draw_without_rendering()
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= figure.bbox.width, name


def test_a_sweep_without_results_says_why(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sweep.glob("tasks/*/done.json"):
        path.unlink()
    assert cli.run(["report", str(sweep)]) == 2
    said = capsys.readouterr().err
    assert "no run of" in said and not (sweep / "report.html").exists()


def renamed(sweep: Path, method: str, name: str) -> None:
    """Give a method of the sweep another name."""
    said = json.loads((sweep / "sweep.json").read_text())
    for run in said["runs"]:
        run["method"] = name if run["method"] == method else run["method"]
    (sweep / "sweep.json").write_text(json.dumps(said))


def test_names_are_shown_as_they_are(sweep: Path) -> None:
    """A dollar sign begins no formula, and a name with an underscore before it has its legend."""
    renamed(sweep, "bpd", "$x^2_{$")
    renamed(sweep, "small <&>", "_small")
    assert cli.run(["report", str(sweep)]) == 0
    page = (sweep / "report.html").read_text()
    front = page[page.index('id="pareto_kept_weights"') :]
    front = front[: front.index("</figure>")]
    assert "$x^2_{$" in front and "_small" in front


def test_a_method_that_the_first_environment_lacks_is_explained(sweep: Path) -> None:
    said = json.loads((sweep / "sweep.json").read_text())
    said["runs"] = [
        run for run in said["runs"] if (run["environment"], run["method"]) != ("cart", "bpd")
    ]
    (sweep / "sweep.json").write_text(json.dumps(said))
    results = read_results(sweep)
    for name, _, figure in figures(results, summaries(results)):
        labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
        assert name == "intervals" or labels == {"bpd", "small <&>"}, name


def test_returns_of_several_tasks_are_not_averaged(sweep: Path) -> None:
    """Without teachers their units differ."""
    said = json.loads((sweep / "sweep.json").read_text())
    for run in said["runs"]:
        run["tasks"] = {"evaluate": run["tasks"]["evaluate"]}
        run["teacher"] = None
    (sweep / "sweep.json").write_text(json.dumps(said))
    assert {each.environment for each in summaries(read_results(sweep))} == {"cart", "hopper"}


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("sweep.json", "{", "is not JSON"),
        ("sweep.json", "[]", "not a sweep of this version"),
        ("sweep.json", '{"format": "sparsectl.sweep", "version": 1}', "is damaged"),
        ("sweep.json", '{"format": "sparsectl.sweep", "version": 2}', "not a sweep of this"),
        ("tasks/evaluate-cart/done.json", "", "remove the folder"),
        ("tasks/evaluate-cart/done.json", "[1]", "is damaged"),
        ("tasks/evaluate-cart/done.json", '{"result": {"return_mean": NaN}}', "remove the folder"),
        ("tasks/evaluate-cart/done.json", '{"result": 1, "files": {}, "seconds": 1}', "damaged"),
        ("tasks/distill-8/failed.json", "{}", "is damaged"),
    ],
)
def test_a_damaged_folder_is_told_by_its_file(
    sweep: Path, file: str, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / file).write_text(text)
    assert cli.run(["report", str(sweep)]) == 2
    said = capsys.readouterr().err.strip()
    assert str(sweep / file) in said and words in said and "\n" not in said
    assert not (sweep / "report.html").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"returns": [1.0, []]},
        {"returns": {"0": 1.0}},
        {"return_mean": "high"},
        {"return_mean": 10**400},
        {"seconds": True},
        {"evidence": "none"},
        {"evidence": {"teacher_return_mean": [1]}},
        {"steps": [1]},
        {"steps": [{"kept_weights": 8, "difference": {"a": 1}}]},
        {"steps": [{"difference": 1.0}]},
    ],
)
def test_a_result_that_is_no_number_is_told_by_its_file(
    sweep: Path, changed: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((sweep / "tasks").glob("distill-cart*")) / "done.json"
    said = json.loads(path.read_text())
    said["result"] |= changed
    path.write_text(json.dumps(said))
    assert cli.run(["report", str(sweep)]) == 2
    complaint = capsys.readouterr().err.strip()
    assert f"{path} is damaged" in complaint and "\n" not in complaint


def test_a_dataset_may_be_gone_but_not_another(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Datasets are large, and a report reads none."""
    task = next((sweep / "tasks").glob("distill-cart*"))
    said = json.loads((task / "done.json").read_text())
    said["files"] = {"dataset.npz": {"bytes": 3, "sha256": "0", "modified_ns": 0}}
    (task / "done.json").write_text(json.dumps(said))
    assert cli.run(["report", str(sweep)]) == 0
    (task / "dataset.npz").write_bytes(b"new")
    assert cli.run(["report", str(sweep)]) == 2
    assert "dataset.npz was changed since the sweep made it" in capsys.readouterr().err


def test_a_damaged_learning_curve_is_told_by_its_file(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json.loads((sweep / "sweep.json").read_text())
    for run in said["runs"]:
        if (run["environment"], run["method"], run["seed"]) == ("cart", "bpd", 0):
            run["tasks"] |= {"teach": write_done(sweep, "teach-0", {"return_mean": 100.0})}
    (sweep / "sweep.json").write_text(json.dumps(said))
    curve = sweep / "tasks" / "teach-0" / "learning_curve.csv"
    for text in ("", "steps,return_mean\n1,2\n", "steps,return_mean\n1\n", "\xff,\0\n1,2\n"):
        curve.write_text(text, encoding="latin-1")
        is_whole = "1,2" in text and text.startswith("steps")
        assert cli.run(["report", str(sweep)]) == (0 if is_whole else 2), text
        assert is_whole or str(curve) in capsys.readouterr().err


def test_single_runs_have_no_interval(sweep: Path) -> None:
    results = read_results(sweep)
    only = [row for row in results.rows if row.seed == 0]
    object.__setattr__(results, "rows", tuple(only))
    found = summaries(results)
    assert {each.runs for each in found} == {1, 2}
    assert all(each.mean_interval is None and each.iqm_interval is None for each in found)


def test_stages_that_were_not_compared_with_the_teacher_are_no_empty_chart(sweep: Path) -> None:
    def stages() -> list[str] | None:
        results = read_results(sweep)
        drawn = {name: figure for name, _, figure in figures(results, summaries(results))}
        return [each.get_title() for each in drawn["stages"].axes] if "stages" in drawn else None

    def forget(pattern: str) -> None:
        for path in sweep.glob(f"tasks/distill-{pattern}/done.json"):
            said = json.loads(path.read_text())
            said["result"]["steps"] = [{**s, "difference": None} for s in said["result"]["steps"]]
            path.write_text(json.dumps(said))

    assert stages() == ["cart", "hopper"]
    forget("hopper-*")
    assert stages() == ["cart"]
    forget("cart-*")
    assert stages() is None
