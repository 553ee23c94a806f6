"""docs/boards.md, followed to the letter: the files that it shows are a board that works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.trial.trial import run_trial
from tests.hil.policies import EASY_RIG

PAGE = Path(__file__).parents[3] / "docs" / "boards.md"


def blocks(language: str) -> list[str]:
    """The page's blocks of code in one language."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def page(easy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's Python leaves behind, its C files saved where they say."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_board").mkdir()
    for block in blocks("c"):
        name = re.match(r"/\* (\S+) \*/", block)
        assert name is not None
        (tmp_path / name.group(1)).write_text(block)
    values: dict[str, Any] = {"POLICY": easy, "RIG": str(EASY_RIG)}
    for block in blocks("python"):
        exec(compile(block, str(PAGE), "exec"), values)
    return values


def test_the_board_of_the_page_greets_computes_and_balances(
    page: dict[str, Any], easy: Path, tmp_path: Path
) -> None:
    assert page["hello"]["board"] == "my-board"
    assert [answer["max_error"] for answer in page["answers"]] == [0.0] * 4
    with RunningBoard(page["MY_BOARD"], Path(page["built"]["elf"])) as board:
        result = run_trial(
            TrialConfig(
                policy=easy,
                rig=str(EASY_RIG),
                port=board.port,
                mode="pil",
                clock="fast",
                seconds=2.0,
                disturbances=0,
                out=tmp_path / "trial",
                report=False,
            )
        )
    assert (result["board"], result["ended"], result["balanced"]) == ("my-board", "completed", True)


def test_the_page_names_the_functions_that_a_board_has() -> None:
    """Five that must be written, the others optional: as in board.h."""
    header = (FIRMWARE / "ports" / "common" / "board.h").read_text()
    declared = set(re.findall(r"\b(board_\w+)\(", header))
    defaults = (FIRMWARE / "ports" / "common" / "board_defaults.c").read_text()
    optional = set(re.findall(r"\b(board_\w+)\(", defaults))
    written = set(re.findall(r"^\w[\w ]*\b(board_\w+)\(", "\n".join(blocks("c")), re.MULTILINE))
    named = set(re.findall(r"`(board_\w+)\(\)`", PAGE.read_text(encoding="utf-8")))
    assert written == declared - optional and len(written) == 5
    assert named == declared
