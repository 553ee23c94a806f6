"""The imitation of several tasks' choices: a loss for each head, of its own task's rows."""

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
        terms: one a task.
        counts: choices of each.
    """

    terms: tuple[ChoiceTerm, ...]
    counts: tuple[int, ...]

    def __call__(self, outputs: Tensor, values: Tensor) -> Loss:
        """For outputs and values [..., all choices]; values of other tasks than a row's are NaN,
        and what the student gives for them costs nothing."""
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
        """What tells a run with this term from another, beside its datasets."""
        return {"heads": [term.identity() for term in self.terms]}


Term = ChoiceTerm | HeadsTerm
