"""The written-out pass of variational students against autograd through the module."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sparsectl.training.nn.flat import FlatAdam
from sparsectl.training.students.passes import GraphPass, StudentPass
from sparsectl.training.students.reparameterised import VariationalPass
from sparsectl.training.students.variational import VariationalStudent

ROWS = 40


def student(sizes: tuple[int, ...]) -> VariationalStudent:
    random = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    return VariationalStudent(sizes, random, weight_std=0.6, log_sigma=-1.0)


def nothing(mean: Tensor, log_sigma: Tensor) -> Tensor:
    return 0 * mean + 0 * log_sigma


def figures(made: StudentPass, sizes: tuple[int, ...], adam: FlatAdam) -> tuple[Tensor, Tensor]:
    """Actions, and the gradient for some gradient in them."""
    random = torch.Generator().manual_seed(0)
    observations = torch.randn(2, ROWS, sizes[0], generator=random)
    observations[0, :3] = 0
    noise = [torch.randn(2, ROWS, width, generator=random) for width in sizes[1:]]
    actions = made.actions(observations, noise).clone()
    gradient = torch.randn(actions.shape, generator=random)
    adam.gradient.fill_(7)  # what was there before must not matter
    made.backward(gradient, nothing, torch.ones(2))
    return actions, adam.gradient.clone()


@pytest.mark.parametrize("sizes", [(5, 2), (5, 8, 2), (5, 8, 7, 2)])
def test_actions_and_gradients_are_those_of_the_module(sizes: tuple[int, ...]) -> None:
    own = student(sizes)
    adam = FlatAdam(own, 1e-3)
    wanted = figures(GraphPass(own), sizes, adam)
    got = figures(VariationalPass(own, ROWS, torch.float32), sizes, adam)
    for mine, its in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-4)


def test_bfloat16_rounds_a_little() -> None:
    sizes = (5, 32, 32, 2)
    own = student(sizes)
    adam = FlatAdam(own, 1e-3)
    wanted = figures(VariationalPass(own, ROWS, torch.float32), sizes, adam)
    got = figures(VariationalPass(own, ROWS, torch.bfloat16), sizes, adam)
    for mine, its in zip(got, wanted, strict=True):
        assert mine.dtype == torch.float32
        assert 1e-4 < (mine - its).norm() / its.norm() < 0.03


def test_a_refreshed_pass_is_a_new_one() -> None:
    sizes = (5, 8, 2)
    own = student(sizes)
    adam = FlatAdam(own, 1e-3)
    made = VariationalPass(own, ROWS, torch.bfloat16)
    before = figures(made, sizes, adam)[0]
    adam.values.mul_(0.5)
    made.refresh()
    after = figures(made, sizes, adam)[0]
    assert not torch.equal(after, before)
    assert torch.equal(after, figures(VariationalPass(own, ROWS, torch.bfloat16), sizes, adam)[0])
