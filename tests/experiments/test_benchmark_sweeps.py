"""The sweep files of the benchmarks ask for nothing that a command would refuse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sparsectl.experiments.plan import plan_of
from sparsectl.experiments.sweep_file import read_sweep

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RUNS = {"ablations": 57, "failures": 5, "hardware": 21, "methods": 55, "mujoco": 60}
"""Of one seed."""


def test_each_file_is_known() -> None:
    assert {path.stem for path in BENCHMARKS.glob("*.toml")} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_file_is_planned(name: str, tmp_path: Path) -> None:
    """With one seed, and the backend that every installation has."""
    text = (BENCHMARKS / f"{name}.toml").read_text()
    text = re.sub(r"^seed = \[.*\]$", "", text, flags=re.MULTILINE)
    text = text.replace('"../', f'"{BENCHMARKS.parent}/').replace('"sbx"', '"sb3"')
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    plan = plan_of(read_sweep(path))
    assert len(plan.runs) == RUNS[name]
    assert all("distill" in run.tasks or "teacher" in run.run.table for run in plan.runs)
