"""docs/safety.md says what the registry and the last run of the matrix say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_tables_are_those_of_the_registry() -> None:
    words = [sys.executable, str(ROOT / "benchmarks" / "faults.py"), "--check"]
    result = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
