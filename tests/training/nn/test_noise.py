"""Drawn numbers are standard normal, independent and the student's own."""

from __future__ import annotations

import numpy as np
import scipy  # its parts load when they are first used; stats takes a second
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.training.nn.noise import DRAWS_IN_TABLE, TABLE, Noise, normal_table

CPU = torch.device("cpu")


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_table_is_standard_normal() -> None:
    values = normal_table(TABLE, torch.float32).double().numpy()
    assert scipy.stats.kstest(values, "norm").pvalue > 1e-3
    for lag in (1, 2, 128, 256, 128 * 256):  # neighbours in a layer, rows, layers
        assert abs(np.corrcoef(values[lag:], values[:-lag])[0, 1]) < 4 / np.sqrt(TABLE)


def test_drawn_numbers_are_standard_normal_and_independent() -> None:
    noise = Noise([50, 30], 2, 1000, CPU)
    first, second = noise.draw(generators(0, 1))
    assert (first.shape, second.shape) == ((2, 1000, 50), (2, 1000, 30))
    for numbers in (first[0], first[1], second[1]):
        assert scipy.stats.kstest(numbers.numpy().ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 5 / np.sqrt(50_000)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_an_output_has_mean_0_and_variance_1_over_many_draws(seed: int) -> None:
    noise, generator = Noise([2], 1, 3, CPU), generators(seed)
    drawn = torch.stack([noise.draw(generator)[0].clone() for _ in range(2000)])
    bound = 6 / np.sqrt(2000)
    assert drawn.mean(dim=0).abs().max() < bound
    assert (drawn.square().mean(dim=0) - 1).abs().max() < bound * np.sqrt(2)


def test_a_students_numbers_do_not_depend_on_the_others() -> None:
    alone = [part.clone() for part in Noise([3, 2], 1, 7, CPU).draw(generators(5))]
    beside = Noise([3, 2], 3, 7, CPU).draw(generators(4, 5, 6))
    for one, three in zip(alone, beside, strict=True):
        assert torch.equal(one[0], three[1])
        assert not torch.equal(one[0], three[0])
    again = Noise([3, 2], 1, 7, CPU).draw(generators(5))
    assert all(torch.equal(one, two) for one, two in zip(alone, again, strict=True))


def test_a_large_draw_gets_a_larger_table() -> None:
    rows = TABLE // DRAWS_IN_TABLE + 1
    (numbers,) = Noise([1], 1, rows, CPU).draw(generators(0))
    assert numbers.shape == (1, rows, 1) and len(torch.unique(numbers)) > 0.9 * rows


def test_no_numbers_are_asked_for() -> None:
    assert Noise([], 2, 10, CPU).draw(generators(0, 1)) == []
