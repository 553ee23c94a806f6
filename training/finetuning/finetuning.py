"""Fine-tuning under the mask: the kept weights imitate the teacher once more, without noise.

Variational dropout shrinks the weights that it keeps, and the others do not compensate for those
that it cuts. With the mask held, plain imitation repairs both in a small part of the time that the
distillation took. If fewer weights are wanted, the least important are cut on the way, a few at a
time, so that the others can take over (gradual magnitude pruning: Zhu and Gupta 2017).

A step is made by one of two classes: `FirstOrder` (first_order.py), on minibatches, for any size,
and `SecondOrder` (second_order.py), for students small enough that their curvature is known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.data.batches import Batches
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.nn.checkpoint import ANEW
from sparsectl.training.policy_distillation.heads import Term
from sparsectl.training.settings import FinetuneSettings
from sparsectl.training.students.encodings import ENCODINGS
from sparsectl.training.students.masked import MaskedStudent, kept_weights
from sparsectl.training.students.pruning import SCORES

SCORED = 8
"""Number of minibatches whose activations determine the importance of a weight."""


class Finetuning(ABC):
    """A masked student and its optimiser; `update` is one step of imitation.

    Args:
        dataset: transitions whose `teacher_actions` are imitated.
        signals: names, units and scales; the normaliser.
        layers: the student, with its masks.
        settings: steps, learning rate and batch size.
        seed: determines the minibatches.
        device: where all tensors are.
        keep: the most weights at the end; 0: all in the masks.
        number: index of this fine-tuning in its run.
        term: the loss over choices, if actions are choices; None: the squared error to the
            teacher's actions.

    Attributes:
        steps: number of steps in all.
        steps_done: number of steps so far.
    """

    steps: int

    def __init__(
        self,
        dataset: Dataset,
        signals: dict[str, Any],
        layers: tuple[StudentLayer, ...],
        settings: FinetuneSettings,
        seed: int,
        device: torch.device,
        keep: int = 0,
        number: int = 0,
        term: Term | None = None,
    ) -> None:
        self.settings = settings
        self.term = term
        self.keep = keep
        self.number = number
        self.steps_done = 0
        self.batches = Batches(dataset, signals, settings.batch_size, device, successors=False)
        self.random = torch.Generator(device).manual_seed(seed)
        self.start = layers
        encode = ENCODINGS[settings.encoding]
        self.student = MaskedStudent(layers, encode, squashed=term is None).on(device)
        self.losses: dict[str, Tensor] = {}

    @abstractmethod
    def update(self) -> None:
        """Take one step, after the cut that is due before it."""

    @abstractmethod
    def optimiser_state(self) -> dict[str, Tensor]:
        """Return the parameters and the optimiser's state; not copies."""

    @property
    def is_pruning(self) -> bool:
        """Return whether weights are cut on the way."""
        return 0 < self.keep < kept_weights(self.start)

    def due_cut(self) -> int:
        """Return the number of weights after the cut that is due now, 0: none is. Each cut reduces
        them by the same factor."""
        cuts = min(self.settings.cuts, max(1, self.steps // 2))  # few steps have few cuts
        number, rest = divmod(self.steps_done, max(1, self.steps // (2 * cuts)))
        if rest or number >= cuts or not self.is_pruning:
            return 0
        before = kept_weights(self.start)
        share: float = (self.keep / before) ** ((number + 1) / cuts)
        return round(before * share)

    def cut_by_score(self, goal: int) -> None:
        """Cut to `goal` weights, the lowest scores first."""
        batches = [
            self.batches.sample([self.random], turn).observations[0] for turn in range(SCORED)
        ]
        self.student.cut(SCORES[self.settings.score], torch.cat(batches), goal)

    def layers(self) -> tuple[StudentLayer, ...]:
        """Return the student's present layers; cut weights are zero."""
        return self.student.layers()

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next update depends on, except the data, the seed and the
        number of steps."""
        masks = {f"mask.{index}": mask for index, mask in enumerate(self.student.masks)}
        return {**self.optimiser_state(), **masks, "random": self.random.get_state()}

    def load(self, state: dict[str, Tensor], steps_done: int) -> None:
        """Continue from a checkpoint.

        Raises:
            UserError: it is of a version that learnt otherwise.
        """
        if not self.state().keys() <= state.keys():
            raise UserError(f"the checkpoint is of another version; {ANEW}")
        self.random.set_state(state["random"])
        with torch.no_grad():
            for name, tensor in self.state().items():
                if name != "random":
                    tensor.copy_(state[name])
        self.steps_done = steps_done


def start_state(layers: tuple[StudentLayer, ...]) -> dict[str, Tensor]:
    """Return the student that a fine-tuning began with."""
    return {
        f"layer.{index}.{name}": torch.from_numpy(np.ascontiguousarray(getattr(layer, name)))
        for index, layer in enumerate(layers)
        for name in ("mean", "log_sigma", "bias", "mask")
    }


def start_layers(
    state: dict[str, Tensor], convolution: Convolution | None = None
) -> tuple[StudentLayer, ...]:
    """Return the student in a `start_state`; the convolution is that of its first layer."""
    layers: list[StudentLayer] = []
    while f"layer.{len(layers)}.mean" in state:
        prefix = f"layer.{len(layers)}."
        parts = {name: state[prefix + name].numpy() for name in ("mean", "log_sigma", "bias")}
        mask = state[prefix + "mask"].numpy().astype(bool)
        layers.append(StudentLayer(**parts, mask=mask, convolution=None if layers else convolution))
    return tuple(layers)
