"""Settings under their former names: taken with a warning, for a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sparsectl import api, cli
from sparsectl.cli import parse
from sparsectl.command_line.former_names import FORMER, in_settings, in_words
from sparsectl.common import warning
from sparsectl.common.errors import UserError
from sparsectl.common.nested import replaced
from sparsectl.training.config import DistillConfig
from sparsectl.training.settings import FinetuneOptions

NAMES = [(command, former) for command, names in FORMER.items() for former in names]
GIVEN = {"flash_encoding": "csr", "finetune_score": "neuron", "finetune_encoding": "int8"}
"""Values of those that are no numbers."""


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Each test hears the warnings, which are said once a process."""
    warning.warn.cache_clear()


def value_at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def option(path: str) -> str:
    return "--" + path.replace("_", "-")


@pytest.mark.parametrize("command", FORMER)
@pytest.mark.parametrize("spelled", ["--{} {}", "--{}={}"])
def test_former_options_set_the_present_settings_and_say_so(
    command: str, spelled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        former: GIVEN.get(former, str(k)) for k, former in enumerate(FORMER[command], start=3)
    }
    words = [spelled.format(former.replace("_", "-"), value) for former, value in values.items()]
    config = parse([command, "--dataset", "d.npz", *" ".join(words).split()])
    said = capsys.readouterr().err
    for former, value in values.items():
        present = FORMER[command][former]
        assert value_at(config, present) in (value, float(value) if value.isdigit() else None)
        assert said.count(f"{option(former)} is now called {option(present)};") == 1


@pytest.mark.parametrize(("command", "former"), NAMES)
def test_both_names_at_once_are_refused(command: str, former: str) -> None:
    present = option(FORMER[command][former])
    for words in ([option(former), "1", present, "1"], [f"{present}=1", f"--{former}=1"]):
        with pytest.raises(UserError, match=f"{option(former)} is the former name of {present}"):
            in_words(command, words)


def test_from_python_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[DistillConfig] = []

    def kept(config: DistillConfig) -> dict[str, Any]:
        seen.append(config)
        return {}

    monkeypatch.setattr(api, "_function", lambda name: kept)
    former: Any = {"finetune_steps": 3, "dagger_anywhere": 0.5, "flash": 9}
    api.distill(tmp_path, finetune=FinetuneOptions(rounds=2), **former)
    [config] = seen
    assert config.finetune == FinetuneOptions(steps=3, rounds=2)
    assert (config.dagger.uniform_starts, config.table_bytes) == (0.5, 9)
    with pytest.raises(UserError, match="finetune_steps is the former name of finetune.steps"):
        api.distill(tmp_path, finetune=FinetuneOptions(steps=2), **former)
    assert in_settings("evaluate", {"flash": 1}) == {"flash": 1}


def test_a_typo_in_a_path_is_no_setting() -> None:
    config = DistillConfig(Path("d.npz"))
    for path in ("finetune.stesp", "finetun.steps", "stesp", "dataset.steps.more"):
        with pytest.raises((TypeError, AttributeError)):
            replaced(config, {path: 1})


def test_a_former_key_of_the_result_is_for_programs_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {"data": "purely offline", "coverage": "purely offline"}
    monkeypatch.setattr(cli, "load", lambda function: lambda config: result)
    words = ["distill", "--dataset", "d.npz"]
    assert cli.run(words) == 0
    assert "coverage" not in (shown := capsys.readouterr().out) and "purely offline" in shown
    assert cli.run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
