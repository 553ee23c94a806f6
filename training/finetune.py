"""Fine-tuning under the mask: the kept weights imitate the teacher once more, without noise.

Variational dropout shrinks what it keeps and leaves behind what it cut. With the mask held, plain
imitation mends both in a small part of the time that the distillation took.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from training.batches import Batches
from training.config import FinetuneSettings
from training.dataset import Dataset
from training.flat import FlatAdam
from training.students.masked import MaskedStudent
from training.students.storage import StudentLayer


class Finetuning:
    """A masked student and its optimiser; `update` is one step of imitation.

    Args:
        dataset: transitions whose `teacher_actions` are imitated.
        signals: names, units and scales; the normaliser.
        layers: the student, with its masks.
        settings: steps, rate and batch.
        seed: of the minibatches.
        device: where everything lives.
    """

    def __init__(
        self,
        dataset: Dataset,
        signals: dict[str, Any],
        layers: tuple[StudentLayer, ...],
        settings: FinetuneSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.steps_done = 0
        self.batches = Batches(dataset, signals, settings.batch_size, device)
        self.random = torch.Generator(device).manual_seed(seed)
        self.student = MaskedStudent(layers).on(device)
        self.adam = FlatAdam(self.student, settings.learning_rate)
        self.losses: dict[str, Tensor] = {}

    def update(self) -> None:
        """One minibatch of imitation; the learning rate falls to zero along a cosine."""
        progress = self.steps_done / self.settings.steps
        rate = self.settings.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        self.adam.set_learning_rate(rate)
        batch = self.batches.sample([self.random])
        error = self.student(batch.observations[0]) - batch.labels[0]
        loss = error.square().sum(dim=1).mean()
        self.adam.step(loss)
        self.losses["imitation"] = loss.detach()
        self.steps_done += 1

    def layers(self) -> tuple[StudentLayer, ...]:
        """The student's layers as they are now; what is cut stays zero."""
        return self.student.layers()

    def state(self) -> dict[str, Tensor]:
        """All that the next update depends on, but the data, the masks and the count of steps."""
        return {**self.adam.state("finetune"), "random": self.random.get_state()}

    def load(self, state: dict[str, Tensor], steps_done: int) -> None:
        """Go on from a checkpoint."""
        self.random.set_state(state["random"])
        with torch.no_grad():
            for name, tensor in self.adam.state("finetune").items():
                tensor.copy_(state[name])
        self.steps_done = steps_done
