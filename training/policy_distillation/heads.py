"""Imitation of choices in several tasks: each head has a loss over the rows of its own task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsectl.training.policy_distillation.losses import Loss
from sparsectl.training.policy_distillation.term import ChoiceTerm


@dataclass(frozen=True)
class HeadsTerm:
    """Losses over the choices of several tasks.

    Attributes:
        terms: one per task.
        counts: number of choices of each task.
    """

    terms: tuple[ChoiceTerm, ...]
    counts: tuple[int, ...]

    def __call__(self, outputs: Tensor, values: Tensor) -> Loss:
        """Return loss and gradient for outputs and values [..., all choices]. Values of other tasks
        than a row's are NaN, and the student's outputs for them add no loss."""
        total, gradient, first = torch.zeros_like(outputs[..., 0]), torch.zeros_like(outputs), 0
        for term, count in zip(self.terms, self.counts, strict=True):
            head = slice(first, first + count)
            own = ~values[..., first].isnan()
            if bool(own.any()):
                loss = term(outputs[..., head], values[..., head].nan_to_num())
                total = total + torch.where(own, loss.value, 0.0)
                gradient[..., head] = torch.where(own[..., None], loss.gradient.detach(), 0.0)
            first += count
        return Loss(total, gradient)

    def identity(self) -> dict[str, object]:
        """Return what identifies a run with this term, beside its datasets."""
        return {"heads": [term.identity() for term in self.terms]}


Term = ChoiceTerm | HeadsTerm
