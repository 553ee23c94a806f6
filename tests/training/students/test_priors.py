"""The priors' divergences against numerical integration, over log α and the mean."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from sparsectl.training.students.priors import PRIORS, log_alpha, log_uniform

LOG_ALPHAS = np.linspace(-8, 6, 8)
MEANS = (-0.7, 1e-3, 0.05, 0.9)
SCALE = 1.0

LogDensity = Callable[[float], float]

DENSITIES: dict[str, LogDensity] = {
    "log-uniform": lambda w: -math.log(abs(w) + 1e-300),
    "gaussian": lambda w: float(stats.norm.logpdf(w, 0, SCALE)),
    "laplace": lambda w: float(stats.laplace.logpdf(w, 0, SCALE)),
    "uniform": lambda w: -math.log(2 * SCALE),
}


def of(name: str, mean: float, log_alpha_value: float) -> float:
    """What the registry says, in double precision."""
    w = torch.tensor([mean], dtype=torch.float64)
    log_sigma = log_alpha_value / 2 + w.abs().log()
    return float(PRIORS[name](w, log_sigma, SCALE))


def integral(name: str, mean: float, log_alpha_value: float) -> float:
    """∫ q log(q / p); with the uniform prior the posterior is cut at its support."""
    sigma = abs(mean) * math.exp(log_alpha_value / 2)
    q = stats.norm(mean, sigma)
    low, high = mean - 10 * sigma, mean + 10 * sigma
    if name == "uniform":
        q = stats.truncnorm((-SCALE - mean) / sigma, (SCALE - mean) / sigma, mean, sigma)
        low, high = max(low, -SCALE), min(high, SCALE)
    log_p = DENSITIES[name]

    def integrand(w: float) -> float:
        log_q = float(q.logpdf(w))
        return math.exp(log_q) * (log_q - log_p(w)) if log_q > -700 else 0.0

    points = [point for point in (0.0, mean) if low < point < high]
    value, _ = integrate.quad(integrand, low, high, points=points, limit=500)
    return float(value)


@pytest.mark.parametrize("name", sorted(PRIORS.keys() - {"log-uniform", "relevance"}))
def test_closed_divergences_are_the_integral(name: str) -> None:
    assert name in DENSITIES, "add the prior's log density to DENSITIES"
    for mean in MEANS:
        for ratio in LOG_ALPHAS:
            assert of(name, mean, ratio) == pytest.approx(integral(name, mean, ratio), abs=1e-6)


def test_the_log_uniform_approximation_is_the_integral_up_to_a_constant() -> None:
    differences = [
        of("log-uniform", mean, ratio) - integral("log-uniform", mean, ratio)
        for mean in MEANS
        for ratio in LOG_ALPHAS
    ]
    assert np.ptp(differences) < 0.02  # Molchanov et al. give the approximation 2e-2


def test_relevance_is_the_best_gaussian() -> None:
    for mean in MEANS:
        for ratio in LOG_ALPHAS:
            w = torch.tensor([mean], dtype=torch.float64)
            log_sigma = ratio / 2 + w.abs().log()
            best = math.sqrt(mean**2 + math.exp(2 * float(log_sigma)))
            scales = [best * factor for factor in (0.9, 1.0, 1.1)]
            values = [float(PRIORS["gaussian"](w, log_sigma, scale)) for scale in scales]
            assert min(values) == values[1] == pytest.approx(of("relevance", mean, ratio))


@pytest.mark.parametrize("name", PRIORS)
def test_divergences_are_elementwise_and_finite_with_finite_gradients(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    mean = torch.randn(3, 4, 5, generator=random)
    mean[0, 0] = 0.0
    mean[1, 1] = 50.0
    log_sigma = torch.randn(3, 4, 5, generator=random) * 5 - 2
    mean.requires_grad_()
    log_sigma.requires_grad_()
    value = PRIORS[name](mean, log_sigma, 0.5)
    one = PRIORS[name](mean[1, 2, 3], log_sigma[1, 2, 3], 0.5)
    torch.testing.assert_close(value[1, 2, 3], one)
    value.sum().backward()  # type: ignore[no-untyped-call]
    for tensor in (value, mean.grad, log_sigma.grad):
        assert tensor is not None and torch.isfinite(tensor).all()


def test_proper_divergences_are_not_negative() -> None:
    random = torch.Generator().manual_seed(1)
    mean = torch.randn(1000, generator=random, dtype=torch.float64)
    log_sigma = torch.randn(1000, generator=random, dtype=torch.float64) * 3
    for name in PRIORS.keys() - {"log-uniform"}:
        assert (PRIORS[name](mean, log_sigma, 0.7) >= -1e-9).all(), name


@pytest.mark.parametrize("name", ["log-uniform", "relevance"])
def test_scale_free_priors_do_not_see_the_scale_of_a_weight(name: str) -> None:
    mean, log_sigma = torch.tensor([0.3, -2.0]), torch.tensor([-2.0, 0.5])
    scaled = PRIORS[name](mean * 10, log_sigma + math.log(10), 1.0)
    torch.testing.assert_close(scaled, PRIORS[name](mean, log_sigma, 1.0))


def test_log_alpha_is_clamped_and_finite_at_zero() -> None:
    mean, log_sigma = torch.tensor([0.0, 1.0, 1e3]), torch.tensor([0.0, -1.0, -30.0])
    torch.testing.assert_close(log_alpha(mean, log_sigma), torch.tensor([10.0, -2.0, -10.0]))


def test_log_uniforms_written_out_gradients_are_those_of_autograd() -> None:
    random = torch.Generator().manual_seed(0)
    mean = torch.randn(4, 50, generator=random, dtype=torch.float64)
    log_sigma = 3 * torch.randn(4, 50, generator=random, dtype=torch.float64) - 2
    mean[0, :5], log_sigma[0, 5:9], log_sigma[0, 9:12] = 0, -30, 30  # clamped on either side
    weights = torch.linspace(-1, 2, 4, dtype=torch.float64)[:, None]

    def gradients(
        divergence: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> list[torch.Tensor]:
        leaves = [mean.clone().requires_grad_(), log_sigma.clone().requires_grad_()]
        value = divergence(*leaves)
        return [value.detach(), *torch.autograd.grad((weights * value).sum(), leaves)]

    def definition(mean: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
        ratio = log_alpha(mean, log_sigma)
        step = torch.sigmoid(1.8732 + 1.48695 * ratio)
        return 0.5 * torch.log1p(torch.exp(-ratio)) - 0.63576 * step

    mine, its = gradients(log_uniform), gradients(definition)
    assert (its[2] == 0).any() and (its[2] != 0).any()
    for left, right in zip(mine, its, strict=True):
        torch.testing.assert_close(left, right)
