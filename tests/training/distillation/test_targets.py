"""Targets: which sizes come next, and which student is the one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.measurement import return_figures
from sparsectl.training.distillation.targets import (
    Keep,
    Return,
    Rounds,
    TableBytes,
    Target,
    score,
    verdict,
)

JSON = dict[str, Any]


def entry(keep: int, kept: int, value: float = 0.0, half: float = 0.0, **more: Any) -> JSON:
    """A fine-tuned student with this return, of its teacher's 100, known to ± `half`."""
    names = ("return_mean", "return_worst_tenth", "return_worst_hundredth")
    returns = dict.fromkeys(names, value)
    low, high = ((value + sign * half) / 100 - 1 for sign in (-1, 1))
    returns |= {"difference": value / 100 - 1, "difference_low": low, "difference_high": high}
    return {"keep": keep, "kept_weights": kept, **returns, **more}


def run(target: Target, start: int, value: Any = lambda kept: 0.0, bytes_a_weight: int = 5) -> Any:
    """The entries of a run whose student has exactly the weights that are asked for."""
    done: list[JSON] = []
    while (keep := target.next(done)) is not None:
        kept = min(keep or start, done[-1]["kept_weights"] if done else start)
        done.append(entry(keep, kept, value(kept), table_bytes=kept * bytes_a_weight))
        assert len(done) < 200
    return done


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 9), st.integers(0, 4))
def test_keep_goes_down_to_the_size_and_stays_for_the_rounds(
    start: int, weights: int, prune_rounds: int, rounds: int
) -> None:
    target = Keep(weights, prune_rounds, rounds)
    done = run(target, start)
    kept = [step["kept_weights"] for step in done]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == min(weights, start)
    assert kept.count(kept[-1]) >= 1 + rounds
    assert len(done) == target.fine_tunings()
    ranked = target.ranked(done)
    assert ranked and all(kept[index] <= weights for index in ranked)


def test_keep_takes_the_best_that_fits() -> None:
    target = Keep(100, 2, 3)
    done = [entry(0, 400, 9.0), entry(100, 100, 5.0), entry(100, 99, 7.0), entry(100, 99, 6.0)]
    assert target.ranked(done) == [2, 3, 1]
    assert target.ranked(done[:1]) == []


def test_return_shrinks_while_it_is_there() -> None:
    target = Return(0.9, patience=3)
    done = run(target, 1000, value=lambda kept: 95.0 if kept >= 300 else 50.0)
    assert [step["kept_weights"] for step in done[-3:]] == [done[-1]["kept_weights"]] * 3
    best = target.ranked(done)[0]
    assert 300 <= done[best]["kept_weights"] < 300 / 0.8
    assert target.next(done) is None


def test_return_ends_at_one_weight() -> None:
    done = run(Return(0.9, patience=3), 50, value=lambda kept: 95.0)
    assert done[-1]["kept_weights"] == 1


def test_a_return_that_only_the_mean_reaches_is_not_chosen() -> None:
    """What `target_met` would not call met must not be preferred to what it would."""
    target = Return(0.95, patience=2)
    done = [entry(0, 200, 98.0, 1.0), entry(160, 160, 97.0, 1.0), entry(128, 128, 97.0, 4.0)]
    assert target.ranked(done) == [1]
    assert target.next(done) == 128  # once more at this size, and no smaller
    assert target.next([*done, entry(128, 128, 96.0, 3.0)]) is None


def test_where_no_return_is_met_the_likeliest_is_chosen() -> None:
    done = [entry(0, 200, 96.0, 4.0), entry(0, 200, 95.5, 1.0), entry(0, 200, 90.0, 1.0)]
    assert Return(0.95, patience=3).ranked(done) == [1, 0, 2]


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.floats(50, 110), st.floats(0, 10)), min_size=1, max_size=9
    )
)
def test_the_chosen_is_the_sparsest_that_would_be_called_met(
    students: list[tuple[int, float, float]],
) -> None:
    done = [entry(kept, kept, value, half) for kept, value, half in students]
    asked = DistillConfig(Path("d.npz"), return_share=0.95)
    met = [e["kept_weights"] for e in done if verdict(asked, e, e) == "met"]
    chosen = done[Return(0.95, patience=2).ranked(done)[0]]
    if met:
        assert verdict(asked, chosen, chosen) == "met" and chosen["kept_weights"] == min(met)
    else:
        assert chosen["difference_low"] == max(e["difference_low"] for e in done)


@given(st.integers(10, 5000), st.integers(20, 30_000), st.integers(0, 3))
def test_bytes_go_down_until_it_fits(start: int, table_bytes: int, rounds: int) -> None:
    target = TableBytes(table_bytes, rounds)
    done = run(target, start)
    fits = [step for step in done if step["table_bytes"] <= table_bytes]
    assert len(fits) == rounds + 1
    assert done[-1] in fits
    assert [done[index] for index in sorted(target.ranked(done))] == fits


def test_rounds_takes_the_best() -> None:
    done = [entry(0, 10, 3.0), entry(0, 10, 5.0), entry(0, 10, 4.0)]
    assert Rounds(2).next(done) is None
    assert Rounds(2).ranked(done) == [1, 2, 0]
    offline = [{"keep": 0, "kept_weights": 9, "imitation_error": e} for e in (0.3, 0.2)]
    assert Rounds(1).ranked(offline) == [1, 0]


def test_two_failures_count_for_more_than_one() -> None:
    once, twice = np.full(1000, 300.0), np.full(1000, 300.0)
    once[:1], twice[:2] = 100.0, 120.0
    figures = [return_figures(returns) for returns in (once, twice)]
    assert once.min() < twice.min()
    assert score(figures[0]) > score(figures[1])
