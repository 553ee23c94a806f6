"""Fine-tuning with curvature, for students of a few hundred weights.

First-order steps are slow there: the best lie along valleys that one rate per weight cannot follow.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsectl.training.finetuning.finetuning import Finetuning
from sparsectl.training.finetuning.gauss_newton import FIRST_DAMPING, cut, damped_step
from sparsectl.training.nn.flat import flat_values


class SecondOrder(Finetuning):
    """Fine-tuning by damped Gauss-Newton steps, each on new rows; a weight is cut by the loss that
    remains after the others compensate."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = self.settings.newton_steps
        self.values = flat_values(self.student)
        self.damping = torch.tensor(FIRST_DAMPING, dtype=torch.float64)

    def update(self) -> None:
        """Take one step on `newton_rows` transitions."""
        observations, labels = self._rows()
        if goal := self.due_cut():
            if self.settings.score == "curvature":
                cut(self.student, observations, labels, goal)
            else:
                self.cut_by_score(goal)
        error, damping = damped_step(self.student, observations, labels, float(self.damping))
        self.damping.fill_(damping)
        self.losses["imitation"] = torch.tensor(error)
        self.steps_done += 1

    def optimiser_state(self) -> dict[str, Tensor]:
        """Return parameters and damping."""
        return {"newton.values": self.values, "newton.damping": self.damping}

    def _rows(self) -> tuple[Tensor, Tensor]:
        batches = -(-self.settings.newton_rows // self.settings.batch_size)
        drawn = [self.batches.sample([self.random]) for _ in range(batches)]
        observations = torch.cat([batch.observations[0] for batch in drawn])
        return observations, torch.cat([batch.labels[0] for batch in drawn])
