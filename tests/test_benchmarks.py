"""The README quotes what was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from sparsectl.common.files import read_json
from sparsectl.training.rollouts.intervals import cvar

ROOT = Path(__file__).resolve().parent.parent


def test_the_readmes_tables_are_those_of_the_results() -> None:
    words = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]
    result = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_the_demos_student_lies_inside_the_interval_that_the_readme_prints() -> None:
    """The demo distils with the recipe's seed 0, so its figure is one of those behind the row."""
    results = read_json(ROOT / "benchmarks" / "results" / "methods_sensorsini_cartpole.json")
    recipe = "bpd, quick-236"
    figures, teacher = results["recipes"][recipe], np.array(results["teacher"]["returns"])
    (student,) = (r for r in results["students"] if r["recipe"] == recipe and r["seed"] == 0)
    returns = np.array(student["returns"])
    difference = (returns.mean() - teacher[: len(returns)].mean()) / teacher.mean()
    assert figures["difference_low"] <= difference <= figures["difference_high"]
    if figures["cvar_1"] is not None:
        assert figures["cvar_1_low"] <= cvar(returns) <= figures["cvar_1_high"]
