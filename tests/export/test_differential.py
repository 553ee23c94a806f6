"""Random graphs through `sparsectl export`: none comes out as C that differs from onnxruntime on
the file itself. benchmarks/differential.py runs them by the thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.differential.judge import EXPORTED, REFUSED, WRONG, Verdict, judge
from tests.export.differential.recurrent import judge_recurrent, recurrent_file
from tests.tools import need

SEEDS = range(5000, 5016)
RECURRENT = range(5000, 5010)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> list[Verdict]:
    need("gcc")
    return [judge(seed, tmp_path_factory.mktemp("graph")) for seed in SEEDS]


def test_none_is_exported_and_wrong(verdicts: list[Verdict]) -> None:
    assert [each for each in verdicts if each.kind == WRONG] == []


def test_most_are_exported_and_refusals_give_the_reason(verdicts: list[Verdict]) -> None:
    assert sum(each.kind == EXPORTED for each in verdicts) >= len(verdicts) // 2
    assert all(len(each.said) > 20 for each in verdicts if each.kind == REFUSED)


@pytest.mark.parametrize("seed", RECURRENT)
def test_no_recurrent_file_is_exported_and_wrong(seed: int, tmp_path: Path) -> None:
    """Its C is compiled with sanitizers and compared with onnxruntime tick by tick."""
    need("gcc")
    verdict = judge_recurrent(seed, tmp_path)
    assert verdict.kind in (EXPORTED, REFUSED), verdict
    assert verdict.kind == EXPORTED or len(verdict.said) > 20


def test_every_cell_is_among_the_recurrent_files() -> None:
    cells = [cell for seed in RECURRENT for cell in recurrent_file(seed).cells]
    assert {cell.operator for cell in cells} == {"RNN", "GRU", "LSTM"}
    assert {cell.attributes.get("linear_before_reset") for cell in cells} >= {0, 1}
    assert any((cell.tensors["R"] == 0).any() for cell in cells)
    assert {recurrent_file(seed).state for seed in RECURRENT} == {"given", "inside", "constant"}
