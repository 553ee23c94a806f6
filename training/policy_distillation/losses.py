"""Losses of a student's outputs against a teacher's values of the same choices.

Rusu et al., "Policy Distillation", 2015 (arXiv 1511.06295), section 3.1, with q_T the teacher's
values of an observation and q_S the student's outputs:

    NLL   -log softmax(q_S)[argmax q_T]                                            (equation 1)
    MSE   ‖q_T - q_S‖²                                                             (equation 2)
    KL    Σ softmax(q_T / τ) · log(softmax(q_T / τ) / softmax(q_S))                (equation 3)

A small τ sharpens the teacher's distribution towards its best choice, independent of the scale of
rewards. Gradients are written out, so that they also serve a student without autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Loss(NamedTuple):
    """Loss [...] and its gradient in the student's outputs [..., choices]."""

    value: Tensor
    gradient: Tensor


def nll(outputs: Tensor, values: Tensor, temperature: float) -> Loss:
    """Return the negative log likelihood of the teacher's choice, the first of equals."""
    best = values.argmax(dim=-1, keepdim=True)
    log_shares = outputs.log_softmax(dim=-1)
    gradient = log_shares.exp().scatter_add(-1, best, torch.full_like(outputs, -1.0))
    return Loss(-log_shares.gather(-1, best)[..., 0], gradient)


def mse(outputs: Tensor, values: Tensor, temperature: float) -> Loss:
    """Return the squared distance from the values."""
    difference = outputs - values
    return Loss(difference.square().sum(dim=-1), 2 * difference)


def kl(outputs: Tensor, values: Tensor, temperature: float) -> Loss:
    """Return KL(softmax(values / τ) ‖ softmax(outputs))."""
    # Centred, so that a small temperature makes shares of 0 and none that are not finite.
    centred = values - values.amax(dim=-1, keepdim=True)
    log_wanted = (centred / temperature).log_softmax(dim=-1)
    wanted, log_shares = log_wanted.exp(), outputs.log_softmax(dim=-1)
    # The logarithm of a probability of 0 may be -inf, and its term is 0.
    divergence = torch.where(wanted > 0, wanted * (log_wanted - log_shares), 0.0)
    return Loss(divergence.sum(dim=-1), log_shares.exp() - wanted)


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Loss]] = {"nll": nll, "mse": mse, "kl": kl}
"""(outputs [..., choices], values [..., choices], temperature) → the loss and its gradient."""
