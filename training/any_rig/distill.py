"""Distil the teacher of all rigs into one recurrent student, on rigs that are drawn afresh.

In each round the student drives rigs that nobody has seen, the teacher, which knows their numbers,
says at each tick what it would have done (DAgger, Ross, Gordon, Bagnell 2011), and the student
learns from whole episodes of the last rounds by backpropagation through time.
"""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.common.progress import Progress
from sparsectl.plants.drawing import draw_rig
from sparsectl.training.any_rig.acting import Array
from sparsectl.training.any_rig.gradients import gradients_of
from sparsectl.training.any_rig.recurrent import GruStudent, StackStudent, acting
from sparsectl.training.any_rig.rollout import Actor, Driven, drive
from sparsectl.training.rollouts.seeds import Series, episode_seed

STARTS = ("hanging",) * 11 + ("upright",) * 5 + ("uniform",) * 4
"""Where a round's episodes begin, in turn."""

TEACHER_ROUNDS = 20
"""Over which the share of rigs that the teacher drives falls to its last value."""

LAST_TEACHER_SHARE = 0.1
KEPT_ROUNDS = 12
LARGEST_GRADIENT = 0.5
CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"


@dataclass(frozen=True)
class AnyRigSettings:
    """Of one distillation; the learning rate falls to a tenth over the rounds.

    Attributes:
        family: of the rigs.
        rounds: of driving and learning.
        rigs: drawn afresh in each round.
        ticks: of each episode.
        updates: passes a round, each through `batch` episodes of one of the last rounds.
        batch: episodes of a pass.
        chunk: ticks of a gradient step; a gradient reaches back to the beginning of its chunk.
        units: of the GRU; 0: the frame-stacked student.
        frames: of the frame-stacked student.
        hidden: its layers.
        learning_rate: of Adam.
        noise: of the duty at most, on the rigs that the teacher drives.
        seed: of the rigs, the episodes and the weights.
        checkpoint_rounds: after how many rounds a checkpoint is written.
    """

    family: str = "cartpole"
    rounds: int = 400
    rigs: int = 192
    ticks: int = 600
    updates: int = 80
    batch: int = 32
    chunk: int = 150
    units: int = 20
    frames: int = 10
    hidden: tuple[int, int] = (24, 16)
    learning_rate: float = 5e-3
    noise: float = 0.6
    seed: int = 0
    checkpoint_rounds: int = 5


class AnyRigDistillation:
    """A distillation that goes on where it was stopped.

    Args:
        settings: a run that is resumed must have the same.
        folder: of its checkpoint and its curve.

    Raises:
        UserError: the folder holds a run of other settings.
    """

    def __init__(self, settings: AnyRigSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        torch.manual_seed(settings.seed)
        self.student = _made(settings)
        self._gradients = gradients_of(self.student)
        self._adam = torch.optim.Adam(self.student.parameters(), settings.learning_rate)
        self._kept: deque[Driven] = deque(maxlen=KEPT_ROUNDS)
        self.round = 0
        self._resume()

    def run(self) -> None:
        """Drive and learn for all rounds that are left."""
        left = range(self.round, self.settings.rounds)
        for number in Progress(left, desc="any rig", unit="round"):
            began = time.monotonic()
            share = max(LAST_TEACHER_SHARE, 1.0 - number / TEACHER_ROUNDS)
            driven = self._driven(number, share)
            self._kept.append(driven)
            loss = self._learn(number)
            self.round = number + 1
            own = slice(round(share * self.settings.rigs), None)
            ends = driven.balanced[-100:, own].all(axis=0)
            figures = {
                "round": number,
                "loss": loss,
                "reward": float(driven.rewards[:, own].mean()) if ends.size else None,
                "balanced_at_end": float(ends.mean()) if ends.size else None,
                "seconds": time.monotonic() - began,
            }
            self._note(figures)
            if self.round % self.settings.checkpoint_rounds == 0 or number == left[-1]:
                self.save()

    @property
    def actor(self) -> Actor:
        """The student as it is now, in numpy."""
        return acting(self.student)

    def _driven(self, number: int, share: float) -> Driven:
        settings = self.settings
        first = 1_000_000 * (settings.seed + 1) + number * settings.rigs
        numbers = range(first, first + settings.rigs)
        # The rigs that the teacher drives come first; the starts must not go with them.
        starts = [STARTS[(number + 7 * k) % len(STARTS)] for k in range(settings.rigs)]
        return drive(
            [draw_rig(settings.family, each) for each in numbers],
            [episode_seed(Series.DAGGER, each) for each in numbers],
            self.actor,
            steps=settings.ticks,
            start=starts,
            teacher_share=share,
            noise=settings.noise,
            seed=number,
        )

    def _learn(self, number: int) -> float:
        settings = self.settings
        random = np.random.default_rng([settings.seed, number])
        rate = settings.learning_rate * 0.1 ** (number / settings.rounds)
        for group in self._adam.param_groups:
            group["lr"] = rate
        losses = []
        for update in range(settings.updates):
            newest = len(self._kept) - 1
            which = newest if update % 2 == 0 else int(random.integers(len(self._kept)))
            driven = self._kept[which]
            chosen = random.permutation(settings.rigs)[: settings.batch]
            losses += self._pass(
                driven.inputs[:, chosen], driven.labels[:, chosen], driven.running[:, chosen]
            )
        return float(np.mean(losses))

    def _pass(self, inputs: Array, labels: Array, running: NDArray[np.bool_]) -> list[float]:
        """Go through episodes, a gradient step a chunk; the state goes on from chunk to chunk."""
        settings, losses = self.settings, []
        carried = self._gradients.begin(inputs.shape[1])
        for first in range(0, settings.ticks, settings.chunk):
            part = slice(first, first + settings.chunk)
            share = running[part] / max(1, int(running[part].sum()))
            self._adam.zero_grad()
            loss, carried = self._gradients.of(
                inputs[part], labels[part], share.astype(np.float32), carried
            )
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), LARGEST_GRADIENT)
            self._adam.step()
            losses.append(loss)
        return losses

    def _note(self, figures: dict[str, Any]) -> None:
        with (self.folder / CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")

    def save(self) -> None:
        """Write the checkpoint."""
        with atomic_path(self.folder / CHECKPOINT) as temporary:
            torch.save(
                {
                    "settings": asdict(self.settings),
                    "round": self.round,
                    "student": self.student.state_dict(),
                    "adam": self._adam.state_dict(),
                },
                temporary,
            )

    def _resume(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        held = torch.load(path, weights_only=True)
        if held["settings"] != asdict(self.settings):
            raise UserError(f"{path} is of a run with other settings; give another folder")
        self.round = held["round"]
        self.student.load_state_dict(held["student"])
        self._adam.load_state_dict(held["adam"])


def read_student(folder: Path) -> tuple[Actor, dict[str, Any], int]:
    """The student of a distillation's last checkpoint, its settings, and the rounds it has had.

    Raises:
        UserError: there is no checkpoint.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"no checkpoint in {folder}; distil there first")
    held = torch.load(path, weights_only=True)
    student = _made(AnyRigSettings(**held["settings"]))
    student.load_state_dict(held["student"])
    return acting(student), held["settings"], held["round"]


def _made(settings: AnyRigSettings) -> GruStudent | StackStudent:
    if settings.units:
        return GruStudent(settings.units)
    return StackStudent(settings.frames, settings.hidden)
