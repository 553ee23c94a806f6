"""What `export --board` measured, in the report; the file as `commands.export` writes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sparsectl.command_line.config import ChooseConfig
from sparsectl.commands.export import export
from sparsectl.common.errors import UserError
from sparsectl.hil.config import ReportConfig
from sparsectl.hil.report.encoding_plot import CHOICE, read_choice
from sparsectl.hil.report.report import write_report
from tests.hil.policies import EASY_POLICY
from tests.tools import need


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a policy whose encoding was chosen by measuring."""
    need("arm-none-eabi-gcc")
    folder = tmp_path_factory.mktemp("run")
    export(ChooseConfig(EASY_POLICY, folder / "policy", board=("cortex-m4f",), observations=100))
    (folder / "summary.json").write_text("{}")
    return folder


def test_the_report_shows_every_encoding_that_ran(run: Path) -> None:
    choice = read_choice(run / "policy")
    assert choice is not None and len(choice.measured) >= 5
    page = Path(str(write_report(ReportConfig(run))["report"])).read_text()
    assert "<h2>Encodings</h2>" in page
    drawn = (run / "policy" / "choice.svg").read_text()
    for measured in choice.measured:
        assert measured.encoding in page and measured.encoding in drawn
    assert f"{choice.encoding} (chosen" in page and f"{choice.encoding} (chosen" in drawn


def test_without_a_choice_there_is_no_section(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "policy" / CHOICE).unlink()
    page = Path(str(write_report(ReportConfig(tmp_path / "run"))["report"])).read_text()
    assert "<h2>Encodings</h2>" not in page


@pytest.mark.parametrize(
    "change",
    [
        {"candidates": 5},
        {"candidates": [{"encoding": "csr"}]},
        {"candidates": [{"encoding": "csr", "time": 0, "flash": 5, "front": True}]},
        {"candidates": [{"encoding": "csr", "time": 10**400, "flash": 5, "front": True}]},
    ],
)
def test_a_damaged_choice_is_one_line(change: dict[str, object], tmp_path: Path) -> None:
    whole = {"board": "b", "time_unit": "cycles", "encoding": "csr", "candidates": []}
    (tmp_path / CHOICE).write_text(json.dumps({**whole, **change}))
    with pytest.raises(UserError, match=r"choice.json is damaged: .*; export with --board again"):
        read_choice(tmp_path)
