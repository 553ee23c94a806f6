"""The picked quantiles are standard normal, independent and the student's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from training.noise import LEVELS, Noise, quantiles

CPU = torch.device("cpu")


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_quantiles_are_the_normal_distribution() -> None:
    values = quantiles().double().numpy()
    assert len(values) == LEVELS and (np.diff(values) > 0).all()
    np.testing.assert_allclose(values, -values[::-1], atol=1e-6)
    for power, moment in ((2, 1), (4, 3)):
        assert (values**power).mean() == pytest.approx(moment, rel=2e-3)


def test_drawn_numbers_are_standard_normal_and_independent() -> None:
    noise = Noise([50, 30], 2, 1000, CPU)
    first, second = noise.draw(generators(0, 1))
    assert (first.shape, second.shape) == ((2, 1000, 50), (2, 1000, 30))
    for numbers in (first[0], first[1], second[1]):
        assert stats.kstest(numbers.numpy().ravel(), "norm").pvalue > 1e-3
    lanes = first[0].reshape(-1, 2, 2, 2).numpy()  # numbers that share a word, and the word after
    flat = lanes.reshape(len(lanes), -1)
    correlation = np.corrcoef(flat.T) - np.eye(8)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(flat))
    assert abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 5 / np.sqrt(50_000)


def test_a_students_numbers_do_not_depend_on_the_others() -> None:
    alone = [part.clone() for part in Noise([3, 2], 1, 7, CPU).draw(generators(5))]
    beside = Noise([3, 2], 3, 7, CPU).draw(generators(4, 5, 6))
    for one, three in zip(alone, beside, strict=True):
        assert torch.equal(one[0], three[1])
        assert not torch.equal(one[0], three[0])
    again = Noise([3, 2], 1, 7, CPU).draw(generators(5))
    assert all(torch.equal(one, two) for one, two in zip(alone, again, strict=True))


def test_no_numbers_are_asked_for() -> None:
    assert Noise([], 2, 10, CPU).draw(generators(0, 1)) == []
