"""The losses of Policy Distillation: the paper's formulas, and gradients that are theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from sparsectl.training.policy_distillation.losses import LOSSES

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(2, 6))


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.integers(0, 2**31), st.sampled_from([0.01, 0.3, 1.0, 10.0]))
def test_the_papers_formulas(shape: tuple[int, ...], seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    outputs, values = rng.normal(0, 3, shape), rng.normal(0, 3, shape)
    log_shares, best = log_softmax(outputs, axis=-1), values.argmax(axis=-1)
    wanted = softmax(values / temperature, axis=-1)
    log_wanted = log_softmax(values / temperature, axis=-1)
    expected = {
        "nll": -np.take_along_axis(log_shares, best[..., None], -1)[..., 0],
        "mse": ((values - outputs) ** 2).sum(axis=-1),
        "kl": (wanted * (log_wanted - log_shares)).sum(axis=-1),
    }
    for name, loss in LOSSES.items():
        found = loss(torch.tensor(outputs), torch.tensor(values), temperature)
        np.testing.assert_allclose(found.value, expected[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@settings(deadline=None, max_examples=30)
@given(shape=SHAPES, seed=st.integers(0, 2**31))
def test_gradients_are_those_of_autograd(name: str, shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs = torch.tensor(rng.normal(0, 3, shape), requires_grad=True)
    values = torch.tensor(rng.normal(0, 3, shape))
    loss = LOSSES[name](outputs, values, 0.7)
    (expected,) = torch.autograd.grad(loss.value.sum(), outputs)
    np.testing.assert_allclose(loss.gradient.detach(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [1.2e-38, 1e-30, 1e30])
def test_no_temperature_overflows(temperature: float) -> None:
    values = torch.tensor([[3e37, -3e37, 0.0], [2.0, 2.0, 1.999]])
    outputs = torch.tensor([[-200.0, 300.0, 0.0], [0.0, 0.0, 0.0]])
    found = LOSSES["kl"](outputs, values, temperature)
    assert bool(found.value.isfinite().all()) and bool(found.gradient.isfinite().all())
    if temperature < 1:  # the best alone, equal ones alike
        wanted = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
        torch.testing.assert_close(found.gradient, outputs.softmax(dim=-1) - wanted)


@pytest.mark.parametrize("name", LOSSES)
def test_values_of_thousands_at_a_small_temperature_stay_finite(name: str) -> None:
    values = torch.tensor([[3e4, -3e4, 0.0], [500.0, 500.0, 499.999]])
    outputs = torch.tensor([[-200.0, 300.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    loss = LOSSES[name](outputs, values, 0.01)
    loss.value.sum().backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    for tensor in (loss.value, loss.gradient, outputs.grad):
        assert bool(torch.isfinite(tensor).all())
