"""The choice among measured encodings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.commands.choosing.choice import Candidate, Choice, nothing_fits
from sparsectl.common.pareto_front import dominates, pareto_front

SMALL = st.integers(0, 4)
POINTS = st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=12)


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int, int]]) -> None:
    front = pareto_front(points)
    for index, point in enumerate(points):
        beaten = any(dominates(points[i], point) for i in front)
        assert beaten != (index in front)  # off the front: something on the front beats it


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    figures = draw(st.lists(st.tuples(*[st.integers(1, 9)] * 4), min_size=1, max_size=6))
    candidates = [
        Candidate(f"e{i}", "float32", float(t), f, r, e / 10)
        for i, (t, f, r, e) in enumerate(figures)
    ]
    broken = [Candidate("broken", reason="it does not compile")] if draw(st.booleans()) else []
    limits = {
        name: float(draw(st.integers(1, 9))) / (10 if name == "error" else 1)
        for name in draw(st.sets(st.sampled_from(["flash", "ram", "cycles", "error"])))
    }
    return Choice("board", "cycles", limits, (*candidates, *broken))


@given(choices())
def test_the_best_is_the_fastest_within_the_limits(choice: Choice) -> None:
    fitting = [c for c in choice.measured if not choice.over(c)]
    if choice.best is None:
        assert not fitting
        nearest = choice.nearest
        assert nearest is not None and choice.over(nearest)
        assert nearest.encoding in nothing_fits(choice)
    else:
        assert choice.best.time == min(c.time for c in fitting)
        assert choice.best in fitting
        assert not any(dominates(c.axes, choice.best.axes) for c in fitting)


@given(choices())
def test_the_summary_is_json_and_the_table_whole(choice: Choice) -> None:
    summary = json.loads(json.dumps(choice.summary(), allow_nan=False))
    assert len(summary["candidates"]) == len(choice.candidates) == len(choice.table()) - 1
    assert {len(row) for row in choice.table()} == {7}
    on_front = {row["encoding"] for row in summary["candidates"] if row["front"]}
    assert on_front == {c.encoding for c in choice.front}


@pytest.mark.parametrize("reason", ["it does not compile"])
def test_nothing_runs(reason: str) -> None:
    choice = Choice("board", "cycles", {}, (Candidate("csr", reason=reason),))
    assert choice.best is None
    assert nothing_fits(choice) == (
        "no encoding runs on board (csr: it does not compile); use another board"
    )


def test_what_is_wrong_with_each_is_said_once() -> None:
    reasons = ["it differs", "it differs", "encoding 'c' is blind", "encoding 'd' is blind"]
    found = tuple(Candidate(name, reason=why) for name, why in zip("abcd", reasons, strict=True))
    said = nothing_fits(Choice("board", "cycles", {}, found))
    assert "(a, b: it differs; c, d: it is blind)" in said


def test_where_fixed_point_was_left_out_nothing_fits_says_what_it_needs() -> None:
    blind = Candidate("packed-int16", reason="nothing says what o0 ranges over", needs_ranges=True)
    dense = Candidate("dense", "float32", 100.0, 900, 50, 1e-7)
    choice = Choice("cortex-m0", "cycles", {"flash": 500.0}, (dense, blind))
    assert nothing_fits(choice).endswith(
        "allow that, keep fewer weights or give --calibration FILE or --range LOW,HIGH, which "
        "rounded weights need"
    )
    assert "needs_ranges" not in choice.summary()["candidates"][1]
