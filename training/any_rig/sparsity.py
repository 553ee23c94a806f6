"""Keep only some of a GRU student's connections, chosen while it learns.

Connections are the weights between what the student observes, its units and its duty. The weights
of what a rig's file says are not among them: for one rig they are folded into the biases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from sparsectl.common.errors import UserError
from sparsectl.training.any_rig.acting import SIGNALS
from sparsectl.training.any_rig.recurrent import GruStudent
from sparsectl.training.students.priors import log_alpha, log_uniform

FIRST_CUT, LAST_CUT = 0.2, 0.6
"""Shares of all rounds between which connections are cut; before, they learn what they are for, and
after, what is left learns to do without."""

KL_WEIGHT: Final = 2e-6
"""Weight of one connection's divergence from the prior, beside the mean squared error of the duty.
Noise alone then costs about a thousandth in a student of 1,800 connections."""

FIRST_LOG_SIGMA: Final = -5.0
SIGMA_RATE: Final = 0.01
"""Adam's learning rate of log σ, which has farther to go than the weights."""

Tensors = list[torch.Tensor]


def magnitude(weights: Tensors, squares: Tensors, log_sigmas: Tensors) -> Tensors:
    """Score by |w| (Han et al. 2015)."""
    return [weight.abs() for weight in weights]


def fisher(weights: Tensors, squares: Tensors, log_sigmas: Tensors) -> Tensors:
    """Score by w² E[g²], what the loss gains if w is cut, with the Fisher information's diagonal
    for the curvature (Theis et al. 2018, "Faster gaze prediction", equation 6); the mean of the
    squared gradients is Adam's."""
    return [weight.square() * square for weight, square in zip(weights, squares, strict=True)]


def variational(weights: Tensors, squares: Tensors, log_sigmas: Tensors) -> Tensors:
    """Score by -log α: noise that the loss bears makes a weight dispensable (Molchanov et al. 2017;
    for recurrent networks, with one draw of noise for a sequence, Lobacheva et al. 2017)."""
    pairs = zip(weights, log_sigmas, strict=True)
    return [-log_alpha(weight, log_sigma) for weight, log_sigma in pairs]


SCORES: Final[dict[str, Callable[[Tensors, Tensors, Tensors], Tensors]]] = {
    "magnitude": magnitude,
    "fisher": fisher,
    "variational": variational,
}
"""By name: weights, running means of their squared gradients and log σ → a score for each; those
with high scores stay."""


class Sparsity:
    """The masks of a student's connections, and with `variational` the noise in them.

    Args:
        student: the student that learns.
        averaged: the running mean of its weights, which is cut with it.
        keep: number of connections that are left in the end.
        score: a name in `SCORES`.
        seed: of the noise.

    Raises:
        UserError: there is no such score, or there are not as many connections.
    """

    def __init__(
        self, student: GruStudent, averaged: GruStudent, keep: int, score: str, seed: int
    ) -> None:
        if score not in SCORES:
            raise UserError(f"score {score!r} is not known; use {', '.join(SCORES)}")
        self.weights, self._averaged = _weights(student), _weights(averaged)
        self.masks = [torch.ones_like(weight, dtype=torch.bool) for weight in self.weights]
        counted = [torch.ones_like(mask) for mask in self.masks]
        counted[0][:, SIGNALS:] = False
        self._counted = torch.cat([each.flatten() for each in counted])
        self._all = int(self._counted.sum())
        if not 0 < keep <= self._all:
            raise UserError(f"keep {keep} connections: the student has {self._all}; give 1 to that")
        self._keep, self._score = keep, score
        self._log_sigmas = [torch.full_like(weight, FIRST_LOG_SIGMA) for weight in self.weights]
        self._generator = torch.Generator().manual_seed(seed)
        self._noisy = score == "variational"
        for log_sigma in self._log_sigmas:
            log_sigma.requires_grad_(self._noisy)
        self._adam = torch.optim.Adam(self._log_sigmas, SIGMA_RATE) if self._noisy else None

    def cut(self, done: float, adam: torch.optim.Adam) -> None:
        """Cut what has the lowest scores.

        Args:
            done: share of all rounds that are over. The number that is left falls with the third
                power of what is still to go (Zhu and Gupta 2017, equation 1).
            adam: optimiser of the weights.
        """
        if done < FIRST_CUT:
            return
        still = max(0.0, (LAST_CUT - done) / (LAST_CUT - FIRST_CUT))
        left = self._keep + round((self._all - self._keep) * still**3)
        self._noisy = self._noisy and still > 0.0
        with torch.no_grad():
            squares = [adam.state[weight]["exp_avg_sq"] for weight in self.weights]
            found = SCORES[self._score](self.weights, squares, self._log_sigmas)
            scores = torch.cat([each.flatten() for each in found])
            mask = torch.cat([each.flatten() for each in self.masks])
            scores = scores.masked_fill(~mask, -torch.inf)
            where = torch.nonzero(self._counted)[:, 0]
            kept = where[scores[where].argsort(descending=True, stable=True)[:left]]
            mask = ~self._counted
            mask[kept] = True
            first = 0
            for own in self.masks:
                own.copy_(mask[first : first + own.numel()].view_as(own))
                first += own.numel()

    @contextmanager
    def noise(self) -> Iterator[None]:
        """Draw noise into the weights for one gradient; take it out again, and let σ learn."""
        if not self._noisy or self._adam is None:
            yield
            return
        with torch.no_grad():
            noise = [
                torch.randn(mask.shape, generator=self._generator) * log_sigma.exp() * mask
                for log_sigma, mask in zip(self._log_sigmas, self.masks, strict=True)
            ]
            before = [weight.clone() for weight in self.weights]
            for weight, drawn in zip(self.weights, noise, strict=True):
                weight.add_(drawn)
        yield
        self._adam.zero_grad()
        parts = zip(self.weights, before, noise, self._log_sigmas, self.masks, strict=True)
        for weight, own, drawn, log_sigma, mask in parts:
            assert weight.grad is not None
            with torch.no_grad():
                weight.copy_(own)
            mean = own.requires_grad_()
            divergence = log_uniform(mean, log_sigma)[mask].sum()
            torch.autograd.backward(KL_WEIGHT * divergence)
            assert log_sigma.grad is not None and mean.grad is not None
            log_sigma.grad += weight.grad * drawn
            weight.grad += mean.grad
        self._adam.step()

    def apply(self) -> None:
        """Set what was cut to 0."""
        with torch.no_grad():
            for weights in (self.weights, self._averaged):
                for weight, mask in zip(weights, self.masks, strict=True):
                    weight.mul_(mask)

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {
            "masks": self.masks,
            "log_sigmas": [each.detach() for each in self._log_sigmas],
            "noisy": self._noisy,
            "generator": self._generator.get_state(),
            "adam": self._adam.state_dict() if self._adam else {},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        with torch.no_grad():
            for own, held in zip(self.masks, state["masks"], strict=True):
                own.copy_(held)
            for own, held in zip(self._log_sigmas, state["log_sigmas"], strict=True):
                own.copy_(held)
        self._noisy = bool(state["noisy"])
        self._generator.set_state(state["generator"])
        if self._adam:
            self._adam.load_state_dict(state["adam"])


def _weights(student: GruStudent) -> Tensors:
    """Return the weights that are cut, and those of the constants beside them."""
    read, held, *_, duty, _ = student.in_order()
    return [read, held, duty]
