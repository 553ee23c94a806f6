"""Penalties on the weights of a deterministic student, in place of a divergence."""

from __future__ import annotations

import math

from torch import Tensor

from sparsectl.training.students.priors import PRIORS, Prior


def l1(mean: Tensor, log_sigma: Tensor, scale: float = 1.0) -> Tensor:
    """|w| / scale: the lasso (Tibshirani 1996); the mode under a Laplace prior."""
    return mean.abs() / scale


def group_lasso(mean: Tensor, log_sigma: Tensor, scale: float = 1.0) -> Tensor:
    """√size · ‖w‖₂ / scale of the weights [.., out, in] that leave a neuron (Yuan and Lin 2006).

    Shape [.., 1, in]. A neuron or an observation without outgoing weights has no effect.
    """
    squares = mean.square().sum(dim=-2, keepdim=True)
    return (squares + 1e-12).sqrt() * (math.sqrt(mean.shape[-2]) / scale)


PENALTIES: dict[str, Prior] = {"l1": l1, "group-lasso": group_lasso}

WEIGHT_COSTS: dict[str, Prior] = {**PRIORS, **PENALTIES}
"""All values of the setting `prior`."""
