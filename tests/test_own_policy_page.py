"""`docs/own_policy.md`: its commands, in its order, from a teacher to an emulated Uno."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from sparsectl import cli
from tests.tools import need

PAGE = Path(__file__).parent.parent / "docs" / "own_policy.md"

SMALLER = {
    "--steps": ["300"],
    "--hidden": ["8"],
    "--transitions": ["600"],
    "--episodes": ["3"],
    "--keep": ["20"],
}
"""In place of the page's numbers: the same commands, in a minute."""

FURTHER = {
    "teach": "--learning-starts 260 --evaluate-every 300 --evaluate-episodes 1",
    "collect": "--workers 1",
    "distill": "--kl-multiplier 0.001 --steps 60 --hidden 12 --batch-size 64 "
    "--finetune.steps 20 --finetune.rounds 0 "
    "--finetune.prune-rounds 1 --finetune.newton-steps 2 --dagger.transitions 200 --episodes 2 "
    "--evidence.episodes 2 --evidence.limit 2 --workers 1",
    "export": "--observations 200 --encoding packed-int16",
    "bench": "--runs 20",
}
"""What else keeps it short."""


def commands() -> list[list[str]]:
    """The words of each command on the page."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def smaller(words: list[str]) -> list[str]:
    """A command with smaller numbers."""
    made: list[str] = []
    index = 0
    while index < len(words):
        made.append(words[index])
        index += 1
        if made[-1] in SMALLER:
            made += SMALLER[made[-1]]
            while index < len(words) and not words[index].startswith("--"):
                index += 1
    return made + shlex.split(FURTHER.get(words[0], ""))


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need("avr-gcc", "simavr")
    monkeypatch.chdir(tmp_path)
    results: dict[str, Any] = {}
    for program, *words in commands():
        assert program == "sparsectl"
        code = cli.run([*smaller(words), "--json"])
        reported = capsys.readouterr()
        assert code == 0, reported.err
        results[words[0]] = json.loads(reported.out)
    assert list(results) == ["teach", "collect", "distill", "evaluate", "export", "bench"]
    assert 0 < results["distill"]["kept_weights"] <= 20
    compared = results["evaluate"]
    assert compared["difference_low"] <= compared["difference"] <= compared["difference_high"]
    assert compared["env"] == "Pendulum-v1"
    assert results["bench"]["bit_exact"]
    assert results["bench"]["cycles_worst"] > 0
