"""Kullback-Leibler divergences of a weight's posterior N(W, σ²) from its prior."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

Divergence = Callable[[Tensor, Tensor], Tensor]
"""(W, log σ) of any one shape → the divergence, summed, in nats up to a constant."""

LOG_ALPHA_LIMIT = 10.0


def log_alpha(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """log α = 2 log σ - 2 log|W|, the noise-to-signal ratio of a weight, clamped to ±10."""
    ratio = 2 * log_sigma - 2 * torch.log(mean.abs() + 1e-20)
    return ratio.clamp(-LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)


def log_uniform(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Divergence from the improper log-uniform prior p(w) ∝ 1/|w|.

    The approximation of Molchanov et al. 2017, equation 14, without its constant: it falls from
    0.63576 + … at α → 0 to 0 … -0.63576 at α → ∞, so that noise in a weight is rewarded.
    """
    ratio = log_alpha(mean, log_sigma)
    return -(0.63576 * torch.sigmoid(1.8732 + 1.48695 * ratio) - 0.5 * softplus(-ratio)).sum()


PRIORS: dict[str, Divergence] = {"log-uniform": log_uniform}
