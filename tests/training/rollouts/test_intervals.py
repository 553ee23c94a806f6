"""What is said of returns: tails, paired differences, failures, and how often intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.training.rollouts.intervals import (
    crossed_figures,
    cvar,
    cvar_figures,
    failure_figures,
    paired_difference,
    share_of,
)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=400), st.floats(0.01, 1.0))
def test_cvar_is_the_mean_of_the_worst_share(returns: list[int], share: float) -> None:
    """Against the integral of the quantile function, on a fine grid of copies."""
    values = np.sort(np.asarray(returns, np.float64))
    wanted = max(share * len(values), 1.0)
    weights = np.clip(wanted - np.arange(len(values)), 0, 1)
    assert cvar(returns, share) == pytest.approx(float(weights @ values) / wanted, abs=1e-6)
    assert values[0] - 1e-9 <= cvar(returns, share) <= values.mean() + 1e-6


def test_cvar_of_two_thousand_is_the_mean_of_the_worst_twenty() -> None:
    values = np.random.default_rng(0).permutation(2000).astype(float)
    assert cvar(values) == pytest.approx(9.5)
    assert cvar(np.stack([values, values + 1]), axis=1) == pytest.approx([9.5, 10.5])


def test_too_few_episodes_have_no_worst_hundredth() -> None:
    assert cvar_figures(np.arange(499.0)) == {
        "cvar_1": None,
        "cvar_1_low": None,
        "cvar_1_high": None,
    }
    figures = cvar_figures(np.random.default_rng(1).normal(size=2000))
    assert figures["cvar_1_low"] < figures["cvar_1"] < figures["cvar_1_high"]
    assert figures["cvar_1_low"] < -2.665 < figures["cvar_1_high"]  # of a standard Gaussian


def test_pairing_sees_a_loss_that_starts_hide() -> None:
    """As on Pendulum-v1, whose starts differ by far more than student and teacher do."""
    random = np.random.default_rng(0)
    teacher = random.uniform(-400, 0, 300)
    student = teacher - 4 + random.normal(0, 3, 300)
    figures = paired_difference(student, teacher)
    assert figures["difference"] == pytest.approx(-4 / 200, abs=0.004)
    assert -0.025 < figures["difference_low"] < figures["difference_high"] < -0.015
    other = random.uniform(-400, 0, 300)  # other episodes of the same teacher
    unpaired = (student.mean() - other.mean()) / abs(other.mean())
    assert abs(unpaired - figures["difference"]) > 0.01


def test_failures_have_an_exact_interval_also_where_there_are_none() -> None:
    none = failure_figures(np.full(2000, 300.0), 240.0)
    assert none["failures_per_1000"] == none["failures_low"] == 0
    assert none["failures_high"] == pytest.approx(1.84, abs=0.01)
    returns = np.full(2000, 300.0)
    returns[:4] = 100.0
    assert failure_figures(returns, 240.0)["failures_per_1000"] == 2


def test_students_in_the_same_episodes_are_no_independent_ones() -> None:
    """A hard episode is hard for all: more students do not narrow what the episodes leave open."""
    random = np.random.default_rng(3)
    teacher = np.full(2000, 300.0)
    hard = random.random(2000) < 0.01
    students = np.where(hard, 100.0, 300.0) + random.normal(0, 1, (5, 2000))
    figures = crossed_figures(students, teacher)
    pooled = failure_figures(students.ravel(), 225.0)
    width = figures["failures_per_1000_high"] - figures["failures_per_1000_low"]
    assert width > 1.8 * (pooled["failures_high"] - pooled["failures_low"])
    assert figures["cvar_1_low"] < figures["cvar_1"] < figures["cvar_1_high"]


def test_students_that_differ_widen_the_interval() -> None:
    random = np.random.default_rng(4)
    teacher = random.normal(300, 20, 1000)
    alike = teacher + random.normal(0, 5, (4, 1000))
    unlike = alike + np.array([-9, -3, 3, 9])[:, None]
    one, two = (crossed_figures(students, teacher) for students in (alike, unlike))
    assert two["difference_high"] - two["difference_low"] > 4 * (
        one["difference_high"] - one["difference_low"]
    )
    # Student's t for four of them: 3.18 standard errors, where a Gaussian has 1.96.
    error = np.std([-9, -3, 3, 9], ddof=1) / 2 / 300
    assert two["difference_high"] - two["difference"] == pytest.approx(3.18 * error, rel=0.15)


def test_a_share_of_a_negative_return_is_a_loss() -> None:
    assert share_of(0.75, 320) == 240
    assert share_of(0.75, -100) == -125
