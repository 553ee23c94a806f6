"""`docs/python.md`: its program, with smaller numbers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sparsectl import api
from sparsectl.cli import COMMANDS
from tests.tools import need

ROOT = Path(__file__).parent.parent

SMALLER = {
    "100_000": "600",
    "keep=236": "keep=20, kl_multiplier=0.001, steps=60, hidden=(12,), batch_size=64, "
    "finetune=api.FinetuneOptions(steps=20, rounds=0, prune_rounds=1, newton_steps=2), "
    "dagger=api.DaggerOptions(transitions=200), episodes=2, "
    "evidence=api.EvidenceOptions(episodes=2, limit=2), workers=1",
    'out=run / "policy")': 'out=run / "policy", observations=200)',
    "seconds=10.0": "seconds=1.5",
}


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("arm-none-eabi-gcc")
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for text, smaller in SMALLER.items():
        assert text in program
        program = program.replace(text, smaller)
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(
        ROOT / "training" / "teachers" / "sensorsini_cartpole.onnx", tmp_path / "teacher.onnx"
    )
    names: dict[str, Any] = {}
    exec(compile(program, "docs/python.md", "exec"), names)
    assert names["student"]["kept_weights"] <= 20
    assert names["policy"].observation_size == 25
    assert names["exported"]["bit_exact"]
    assert names["measured"]["cycles_worst"] > 0
    assert names["result"]["ticks"] > 0


def test_every_command_that_works_on_files_is_there() -> None:
    lacking = {name for name in COMMANDS if not hasattr(api, name)}
    assert lacking == {"demo", "doctor"}  # they speak to a person
