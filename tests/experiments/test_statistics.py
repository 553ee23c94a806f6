"""Statistics of few runs against what they mean, spelled out, and against rliable's figures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sparsectl.experiments.statistics import (
    Array,
    interquartile_mean,
    interval,
    mean,
    probability_of_improvement,
)

RANDOM = np.random.default_rng(7)
ONE = [RANDOM.normal(0.8, 0.2, 6).round(3), RANDOM.normal(0.5, 0.1, 4).round(3)]
TWO = [RANDOM.normal(0.7, 0.2, 5).round(1), RANDOM.normal(0.5, 0.1, 4).round(1)]


def test_probability_of_improvement_counts_pairs() -> None:
    shares = []
    for one, two in zip(ONE, TWO, strict=True):
        wins = [(a > b) + (a == b) / 2 for a, b in itertools.product(one, two)]
        shares.append(sum(wins) / len(wins))
    assert probability_of_improvement(*ONE, *TWO) == pytest.approx(np.mean(shares))
    assert probability_of_improvement(*ONE, *ONE) == pytest.approx(0.5)


def test_interquartile_mean_leaves_a_quarter_out_at_each_end() -> None:
    scores = sorted(np.concatenate(ONE))  # ten: two and a half go at each end, two whole ones
    assert interquartile_mean(*ONE) == pytest.approx(np.mean(scores[2:-2]))


def brute_interval(scores: list[Array], resamples: int = 20_000) -> tuple[float, float]:
    """Each task's runs drawn anew by themselves, one by one."""
    random = np.random.default_rng(1)
    drawn = []
    for _ in range(resamples):
        runs = np.concatenate([random.choice(each, len(each)) for each in scores])
        runs.sort()
        cut = len(runs) // 4
        drawn.append(runs[cut : len(runs) - cut].mean())
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def test_the_interval_is_the_stratified_bootstraps() -> None:
    found = interval(interquartile_mean, ONE)
    assert found is not None
    assert found == pytest.approx(brute_interval(ONE), abs=0.01)


def test_one_run_has_no_interval() -> None:
    assert interval(mean, [np.array([1.0]), np.array([1.0, 2.0])]) is None
    assert interval(mean, [np.array([2.0, 2.0])]) == (2.0, 2.0)


def test_rliable_says_the_same() -> None:
    """rliable 1.2.0 on these scores, by 50,000 resamples (3,000 for the probability)."""
    a = np.array(
        [
            [0.81, 1.07, 1.04, 0.7, 0.74, 0.69, 0.91, 0.79],
            [0.57, 0.32, 0.66, 0.49, 0.57, 0.49, 0.46, 0.55],
            [0.94, 0.89, 0.89, 0.93, 0.86, 0.82, 0.92, 0.87],
        ]
    )
    b = np.array(
        [
            [0.32, 0.54, 0.61, 0.46, 0.4, 0.71, 0.88, 0.65],
            [0.45, 0.56, 0.59, 0.49, 0.57, 0.62, 0.5, 0.44],
            [0.87, 0.86, 0.9, 0.79, 0.82, 0.81, 0.76, 0.86],
        ]
    )
    assert interquartile_mean(*a) == pytest.approx(0.7741666667)
    assert mean(*a) == pytest.approx(0.7491666667)
    assert probability_of_improvement(*a, *b) == pytest.approx(0.7291666667)
    assert interval(interquartile_mean, list(a)) == pytest.approx((0.73417, 0.82), abs=0.006)
    assert interval(mean, list(a)) == pytest.approx((0.71, 0.78958), abs=0.004)
    better = interval(probability_of_improvement, [*a, *b])
    assert better == pytest.approx((0.58854, 0.85417), abs=0.015)
