"""The tables of Policy Distillation: a short run of their command, and what they say of returns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def test_a_short_run_writes_a_row_for_each_student_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import policy_distillation

    out = tmp_path / "rows.json"
    config = policy_distillation.TablesConfig(
        games=("breakout",),
        losses=("kl",),
        sizes=(4,),
        seeds=(0,),
        parts=("single",),
        transitions=150,
        steps=3,
        episodes=1,
        teacher_episodes=1,
        runs=tmp_path,
        out=out,
    )
    policy_distillation.main(config)
    written = out.read_bytes()
    found = read_json(out)
    (row,) = found["rows"]
    assert (row["kind"], row["loss"], row["size"], row["seed"]) == ("single", "kl", 4, 0)
    assert row["weights"] == 3 * 36 + 64 * 3 * 10 + 10 * 3
    assert list(row["returns"]) == list(found["teachers"]) == ["breakout"]
    assert found["settings"]["steps"] == 3
    policy_distillation.main(config)
    assert out.read_bytes() == written
    with pytest.raises(UserError, match=r"steps is 4, but .* has rows with 3; give another --out"):
        policy_distillation.main(replace(config, steps=4))
    write_json(out, found | {"teacher_marks": {"breakout": "0" * 12}})
    with pytest.raises(UserError, match="another teacher than that of the rows"):
        policy_distillation.main(config)


def test_a_share_is_the_geometric_mean_over_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from policy_distillation_tables import share

    teachers = {"a": [10.0, 10.0], "b": [2.0, 2.0]}
    value, low, high = share({"a": [[20.0, 20.0]], "b": [[1.0, 1.0], [1.0, 1.0]]}, teachers)
    assert value == pytest.approx(1) and low == pytest.approx(1) and high == pytest.approx(1)
    value, low, high = share({"a": [[5.0, 15.0, 8.0], [4.0, 9.0, 7.0]]}, teachers)
    assert value == pytest.approx(0.8) and 0.4 <= low < value < high <= 1.5
