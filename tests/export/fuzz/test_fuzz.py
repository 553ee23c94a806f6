"""A bounded run of the fuzzer; `python -m tests.export.fuzz.campaign` is the long one."""

from __future__ import annotations

from pathlib import Path

from tests.export.fuzz.campaign import GROWTH_BYTES, campaign


def test_hostile_files_are_read_or_refused_in_bounds(tmp_path: Path) -> None:
    outcome = campaign(3000, seed=20, folder=tmp_path)
    assert outcome.files == 3000
    assert outcome.read > 100 and len(outcome.refused) > 40
    assert outcome.growth_bytes < GROWTH_BYTES
