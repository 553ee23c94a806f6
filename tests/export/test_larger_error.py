from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.larger_error import larger_error
from sparsectl.export.pipeline import export_policy
from tests.export.test_pipeline import student


@given(st.floats(1e-12, 1.0))
def test_what_is_advised_is_enough_and_no_more_than_a_digit_larger(needed: float) -> None:
    said = re.search(r"at least (\S+) if", larger_error(needed, is_rounded=True))
    assert said is not None
    assert needed <= float(said[1]) <= 1.1 * needed


@pytest.mark.parametrize("needed", [math.inf, math.nan])
def test_no_limit_allows_what_is_not_finite(needed: float) -> None:
    assert larger_error(needed, is_rounded=True) == "take an encoding in float32"
    assert "--error" not in larger_error(needed, is_rounded=False)


def test_no_plant_stands_an_error_beyond_the_action_s_range() -> None:
    said = larger_error(1.01, is_rounded=True)
    assert said.endswith("range: take an encoding in float32") and "--error" not in said


def test_who_follows_the_advice_gets_a_policy(tmp_path: Path) -> None:
    model, error = student(tmp_path), 1e-9
    for _ in range(5):  # batches are judged one after another, and a later one may need more
        settings = {"encoding": "dense-int8", "observations": 500, "error": error}
        try:
            export_policy(ExportConfig(model, tmp_path / "policy", **settings))
            return
        except UserError as refused:
            said = re.search(r"at least (\S+) if", str(refused))
            assert said is not None and float(said[1]) > error
            error = float(said[1])
    pytest.fail("it is never enough")
