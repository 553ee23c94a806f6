"""Random graphs through `sparsectl export`: none comes out as C that differs from onnxruntime on
the file itself. benchmarks/differential.py runs them by the thousand."""

from __future__ import annotations

import pytest

from tests.export.differential.judge import EXPORTED, REFUSED, WRONG, Verdict, judge
from tests.tools import need

SEEDS = range(5000, 5016)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> list[Verdict]:
    need("gcc")
    return [judge(seed, tmp_path_factory.mktemp("graph")) for seed in SEEDS]


def test_none_is_exported_and_wrong(verdicts: list[Verdict]) -> None:
    assert [each for each in verdicts if each.kind == WRONG] == []


def test_most_are_exported_and_refusals_give_the_reason(verdicts: list[Verdict]) -> None:
    assert sum(each.kind == EXPORTED for each in verdicts) >= len(verdicts) // 2
    assert all(len(each.said) > 20 for each in verdicts if each.kind == REFUSED)
