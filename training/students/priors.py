"""Kullback-Leibler divergences of a weight's posterior N(W, σ²) from its prior.

Each is elementwise, so that leading dimensions (several students at once) pass through; each is in
nats, log-uniform's up to a constant as that prior is improper. `scale` is the prior's width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sparsectl.policy.student_file import LOG_ALPHA_LIMIT

Divergence = Callable[[Tensor, Tensor], Tensor]
"""(W, log σ) of one shape → the divergence of each weight, of the same shape."""


class Prior(Protocol):
    """(W, log σ) and the prior's scale → the divergence of each weight."""

    def __call__(self, mean: Tensor, log_sigma: Tensor, scale: float) -> Tensor: ...


SMALLEST = 1e-20
"""Added to |W|, so that its logarithm is finite at zero."""
STEP, STEP_AT, STEP_SLOPE = 0.63576, 1.8732, 1.48695
"""Molchanov et al. 2017, equation 14: k1, k2, k3."""
_gradient_within = torch.ops.aten.hardtanh_backward.grad_input
"""Set a gradient to zero where the value is outside two limits."""
ENTROPY = 0.5 * math.log(2 * math.pi * math.e)
"""Entropy of a standard Gaussian; a deviation σ adds log σ."""


def log_alpha(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """log α = 2 log σ - 2 log|W|, the noise-to-signal ratio of a weight, clamped to ±10."""
    ratio = 2 * log_sigma - 2 * torch.log(mean.abs() + SMALLEST)
    return ratio.clamp(-LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)


def log_uniform(mean: Tensor, log_sigma: Tensor, scale: float = 1.0) -> Tensor:
    """Divergence from the improper log-uniform prior p(w) ∝ 1/|w|; it has no scale.

    The approximation of Molchanov et al. 2017, equation 14, without its constant: it falls from
    0.63576 + … at α → 0 to 0 … -0.63576 at α → ∞, so that noise in a weight is rewarded.
    """
    divergence: Tensor = LogUniform.apply(mean, log_sigma)  # type: ignore[no-untyped-call]
    return divergence


class LogUniform(torch.autograd.Function):
    """½ softplus(-r) - k1 sigmoid(k2 + k3 r) of r = log α, with its gradients written out.

    This takes two thirds of autograd's time. The gradients are zero where log α is clamped.
    """

    @staticmethod
    def forward(context: Any, mean: Tensor, log_sigma: Tensor) -> Tensor:
        size = mean.abs().add_(SMALLEST)
        ratio = torch.log(size)
        torch.sub(log_sigma, ratio, out=ratio).mul_(2).clamp_(-LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)
        step = torch.mul(ratio, STEP_SLOPE).add_(STEP_AT).sigmoid_()
        gradient = torch.addcmul(step, step, step, value=-1).mul_(-2 * STEP * STEP_SLOPE)
        gradient.sub_(torch.sigmoid(-ratio))
        _gradient_within(gradient, ratio, -LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT, grad_input=gradient)
        context.save_for_backward(gradient, torch.copysign(size, mean))
        return softplus(ratio.neg_()).mul_(0.5).sub_(step, alpha=STEP)

    @staticmethod
    def backward(context: Any, outer: Tensor) -> tuple[Tensor, Tensor]:
        gradient, signed = context.saved_tensors
        gradient = gradient * outer
        return torch.div(gradient, signed).neg_(), gradient


def relevance(mean: Tensor, log_sigma: Tensor, scale: float = 1.0) -> Tensor:
    """Divergence from N(0, s²) with the best s for each weight, s² = W² + σ²: ½ log(1 + 1/α).

    Automatic relevance determination; closed. Kharitonov, Molchanov, Vetrov: "Variational Dropout
    via Empirical Bayes", 2018, equation 10. It has no scale.
    """
    return 0.5 * softplus(-log_alpha(mean, log_sigma))


def gaussian(mean: Tensor, log_sigma: Tensor, scale: float = 1.0) -> Tensor:
    """Divergence from N(0, s²), closed: log(s/σ) + (σ² + W²) / 2s² - ½."""
    squares = (2 * log_sigma).exp() + mean.square()
    return math.log(scale) - log_sigma + squares / (2 * scale**2) - 0.5


def laplace(mean: Tensor, log_sigma: Tensor, scale: float = 1.0) -> Tensor:
    """Divergence from Laplace(0, b), closed: log 2b + E|w|/b - the posterior's entropy.

    E|w| is the mean of the folded normal (Leone, Nelson, Nottingham 1961).
    """
    sigma = log_sigma.exp()
    ratio = mean / sigma
    folded = sigma * math.sqrt(2 / math.pi) * torch.exp(-0.5 * ratio.square())
    folded = folded + mean * torch.erf(ratio / math.sqrt(2))
    return math.log(2 * scale) + folded / scale - ENTROPY - log_sigma


def uniform(mean: Tensor, log_sigma: Tensor, scale: float = 1.0) -> Tensor:
    """Divergence from the uniform prior on [-a, a], closed for the posterior truncated to it.

    The divergence of a Gaussian that reaches beyond the support is infinite, so the Gaussian is
    truncated at ±a: log 2a minus its entropy (Johnson, Kotz, Balakrishnan: Continuous Univariate
    Distributions 1, section 13.10.1). A mean beyond ±a counts as at the edge.
    """
    mean = mean.clamp(-scale, scale)
    sigma = log_sigma.exp()
    low, high = (-scale - mean) / sigma, (scale - mean) / sigma
    inside = 0.5 * (torch.erf(high / math.sqrt(2)) - torch.erf(low / math.sqrt(2)))
    gradients = (low * _density(low) - high * _density(high)) / (2 * inside)
    return math.log(2 * scale) - (ENTROPY + log_sigma + torch.log(inside) + gradients)


def _density(value: Tensor) -> Tensor:
    return torch.exp(-0.5 * value.square()) / math.sqrt(2 * math.pi)


PRIORS: dict[str, Prior] = {
    "log-uniform": log_uniform,
    "relevance": relevance,
    "gaussian": gaussian,
    "laplace": laplace,
    "uniform": uniform,
}
