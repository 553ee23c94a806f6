"""The table of a sweep says what its rows say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from sparsectl.common.files import write_json

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import sweep_results  # noqa: E402
import sweep_tables  # noqa: E402


def row(method: str, seed: int, returned: float, weights: int) -> dict[str, Any]:
    return {
        "environment": "Hopper-v5",
        "method": method,
        "seed": seed,
        "score": returned / 2000,
        "return_mean": returned,
        "episodes": 100,
        "teacher_return_mean": 2000.0,
        "kept_weights": weights,
        "kept_parameters": weights + 3,
        "teacher_weights": 1000,
        "teacher_parameters": 1100,
        "table_bytes": 4 * weights,
    }


def test_a_row_is_the_mean_of_its_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("a", 0, 1000, 30), row("a", 1, 2000, 40), row("b", 0, 500, 33)]
    ends = {"return_mean": 2000.0, "return_low": 1900.0, "return_high": 2100.0}
    result = {"rows": rows, "teachers": {"Hopper-v5": ends}, "ran_at": "abc"}
    result["unfinished"] = ["b, seed 1"]
    write_json(tmp_path / "sweep_x.json", result)
    monkeypatch.setattr(sweep_tables, "RESULTS", tmp_path)
    teacher, _, _, _, first, second, *_, note = sweep_tables.sweep_table("x")
    assert "1,000 weights, 1,100 with biases" in teacher and "is 2,000 [1,900, 2,100]." in teacher
    start = "| a | 35 (3.50%) | 38 (3.45%) | 140 | 2 | 1,500 | 75.0% [50.0%, 100.0%] | 50.0% |"
    assert first == start
    assert second == "| b | 33 (3.30%) | 36 (3.27%) | 132 | 1 | 500 | 25.0% | 25.0% |"
    assert "1 runs of the file are not finished" in note and "Revision abc" in note


def test_results_are_added_to_those_of_before() -> None:
    """A run that both have counts once, as it is now."""
    before = {"rows": [row("a", 0, 900, 30), row("c", 0, 700, 30)], "teachers": {"Walker2d-v5": 1}}
    found = {"rows": [row("a", 0, 1000, 30)], "teachers": {"Hopper-v5": 2}, "ran_at": "new"}
    found["unfinished"] = ["Hopper-v5, c, seed 0", "Hopper-v5, c, seed 1"]
    both = sweep_results.added(found, before | {"unfinished": [], "ran_at": "old, new"})
    assert [(each["method"], each["return_mean"]) for each in both["rows"]] == [
        ("a", 1000),
        ("c", 700),
    ]
    assert both["unfinished"] == ["Hopper-v5, c, seed 1"] and both["ran_at"] == "old, new"
    assert set(both["teachers"]) == {"Hopper-v5", "Walker2d-v5"}


def test_an_ablation_is_compared_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that prunes while it is fine-tuned is compared with a fine-tuned one."""
    returns = {
        "bpd": (1000, 1200, 800),
        "bpd, fine-tuned": (2000, 2000, 2000),
        "no value term": (1200, 1410, 1010),
        "L1": (1000, 1001, 1002),
        "prior laplace": (1500, 1000, 900),
    }
    rows = [
        row(name, seed, value, 40) for name in returns for seed, value in enumerate(returns[name])
    ]
    rows.append(row("authors' noise", 2, 820, 30))
    others = [row(name, 0, value, 50) for name, value in (("bpd", 500), ("no value term", 400))]
    rows += [other | {"environment": "HalfCheetah-v5"} for other in others]
    write_json(tmp_path / "sweep_y.json", {"rows": rows})
    monkeypatch.setattr(sweep_tables, "RESULTS", tmp_path)
    lines = sweep_tables.ablation_table("y")
    of, _, _, _, value, first, laplace, noise, _, further, *_, other, _, note = lines
    assert of == "Hopper-v5:" and further == "HalfCheetah-v5:"
    assert other == "| no value term | bpd | 1 | 50 (50) | 20.0% (25.0%) | -5.0% | open |"
    start = (
        "| no value term | bpd | 3 | 40 (40) | 60.3% (50.0%) | +10.3% [+9.6%, +11.1%] | better |"
    )
    assert value == start
    assert first.startswith("| L1 | bpd, fine-tuned | 3 |") and first.endswith("| worse |")
    assert laplace.endswith("| open |")
    assert noise == "| authors' noise | bpd | 1 | 30 (40) | 41.0% (40.0%) | +1.0% | open |"
    assert "Student's t" in note
