"""Fine-tuning on minibatches, for students of any size."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from sparsectl.training.finetuning.finetuning import Finetuning
from sparsectl.training.nn.flat import FlatAdam
from sparsectl.training.nn.muon import DenseMuon


class FirstOrder(Finetuning):
    """Fine-tuning by minibatches; the learning rate falls to zero along a cosine.

    Students that have all weights of their layers, and keep them, learn by Muon, which comes as far
    as Adam in a third of the steps. Masked students did not gain by it, and learn by Adam.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = self.settings.steps
        dense = all(bool(mask.all()) for mask in self.student.masks)
        optimiser = DenseMuon if dense and not self.is_pruning else FlatAdam
        self.optimiser = optimiser(self.student, self.settings.learning_rate)

    def update(self) -> None:
        """Update on one minibatch."""
        if goal := self.due_cut():
            self.cut_by_score(goal)
        progress = self.steps_done / self.steps
        rate = self.settings.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        self.optimiser.set_learning_rate(rate)
        batch = self.batches.sample([self.random], self.steps_done)
        outputs, labels = self.student(batch.observations[0]), batch.labels[0]
        if self.term is None:
            loss = (outputs - labels).square().sum(dim=1).mean()
        else:
            loss = self.term(outputs, labels).value.mean()
        self.optimiser.step(loss)
        self.losses["imitation"] = loss.detach()
        self.steps_done += 1

    def optimiser_state(self) -> dict[str, Tensor]:
        """Return the parameters and the optimiser's state."""
        return self.optimiser.state("finetune")
