"""Distil the teacher of all rigs into one recurrent student, on rigs that are drawn afresh.

In each round the student drives rigs that nobody has seen, the teacher, which knows their numbers,
says at each tick what it would have done (DAgger, Ross, Gordon, Bagnell 2011), and the student
learns from whole episodes of the last rounds by backpropagation through time.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.common.progress import Progress
from sparsectl.plants.drawing import draw_rig
from sparsectl.plants.rig import Rig, Start
from sparsectl.training.any_rig.acting import LIMIT_SHARE, POLE_RAD_S, Acting, Array
from sparsectl.training.any_rig.deploy import read_any
from sparsectl.training.any_rig.gradients import gradients_of
from sparsectl.training.any_rig.kept import KeptEpisodes, intact
from sparsectl.training.any_rig.recurrent import GruStudent, StackStudent, Student, acting
from sparsectl.training.any_rig.rollout import Actor, drive
from sparsectl.training.any_rig.sparsity import Sparsity
from sparsectl.training.rollouts.seeds import Series, episode_seed

REST = "rest"
STARTS = (REST,) * 5 + ("hanging",) * 6 + ("upright",) * 5 + ("uniform",) * 4
"""How a round's episodes begin, in turn. At rest is how a trial begins that has been homed: the
base in the middle, the pole hanging, nothing moving."""

AT_REST = Start(0.0, 0.0, 0.0, 0.0)

TEACHER_ROUNDS = 20
"""Rounds over which the share of rigs that the teacher drives falls to its last value."""

LAST_TEACHER_SHARE = 0.1
MOST_FAILED = 1000
"""Most rigs that are remembered because the student failed on them when they were drawn; the last
ones stay."""

UPRIGHT_COSINE = 0.5
"""Cosine of 60 degrees: a pole nearer to upright is about to be caught, or was; see
`near_upright`."""

CALM_COSINE, CALM_RAD_S = 0.95, 1.5
"""Cosine of 18 degrees, and a speed in rad/s: a pole nearer to upright and slower stays up; see
`catching`."""

OUTER_SHARE = 0.6
"""Share of the limit beyond which the base may be about to meet it; see `near_limit`."""

WARM_UP_ROUNDS = 3
"""Rounds in which the rate rises for a student that has learnt before, since Adam does not know its
gradients yet."""

LARGEST_GRADIENT = 0.5
LAST_RATE = 0.02
"""Share of the learning rate that is left in the last round."""

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"


@dataclass(frozen=True)
class AnyRigSettings:
    """Settings of one distillation; the learning rate falls along a cosine over the rounds.

    Attributes:
        family: the family of the rigs.
        rounds: number of rounds, each of driving and learning.
        rigs: number of rigs that are driven in each round.
        again: share of these rigs on which the student failed before; the others are drawn afresh.
        corner: share of the rigs drawn afresh that come from the corner of the family's ranges.
        ticks: length of each episode; long ones contain the swing-ups that fail again and again.
        updates: passes per round, each through `batch` episodes of one of the last rounds.
        batch: number of episodes in a pass.
        kept: number of rounds, the last ones, whose episodes are learnt from.
        chunk: ticks per gradient step; a gradient reaches back to the beginning of its chunk.
        units: number of units of the GRU; 0: the student is the frame-stacked one.
        frames: number of frames of the frame-stacked student.
        hidden: sizes of its layers.
        learning_rate: Adam's learning rate.
        average: share that the running mean of the weights, which drives and is saved, keeps of
            itself at each gradient step (Polyak and Juditsky 1992).
        noise: greatest standard deviation of the duty's noise, on the rigs that the teacher drives.
        near_upright: additional weight of a tick whose pole is within 60 degrees of upright.
        catching: additional weight of a tick whose pole is within 60 degrees of upright and not yet
            calm there: a tick in twenty, which decide whether it stays up.
        near_limit: additional weight of a tick whose base is beyond 0.6 of its limit.
        begin: file of a student that learns further and drives from the first round; empty: it
            begins with random weights, and the teacher drives the first rounds.
        keep: number of connections that are left in the end (`sparsity`); 0: all.
        score: by which they are chosen, a name in `sparsity.SCORES`.
        seed: seed of the rigs, the episodes and the weights.
        checkpoint_rounds: number of rounds between checkpoints.
    """

    family: str = "cartpole"
    rounds: int = 400
    rigs: int = 384
    again: float = 0.25
    corner: float = 0.0
    ticks: int = 1200
    updates: int = 12
    batch: int = 128
    kept: int = 8
    chunk: int = 150
    units: int = 22
    frames: int = 10
    hidden: tuple[int, int] = (24, 16)
    learning_rate: float = 4e-3
    average: float = 0.998
    noise: float = 0.6
    near_upright: float = 0.0
    catching: float = 0.0
    near_limit: float = 0.0
    begin: str = ""
    keep: int = 0
    score: str = "magnitude"
    seed: int = 0
    checkpoint_rounds: int = 5


class AnyRigDistillation:
    """A distillation that resumes where it was stopped, and ends as if it had not been.

    Args:
        settings: settings; a run that is resumed must have the same, except for its rounds.
        folder: folder of its checkpoint and its curve.
        draw: maps a number to a rig; None: it draws one of the family.
        label: label of the progress bar.

    Raises:
        UserError: the folder holds a run of other settings, `begin` is no student's file, or as
            many connections cannot be kept.
    """

    def __init__(
        self,
        settings: AnyRigSettings,
        folder: Path,
        draw: Callable[[int], Rig] | None = None,
        label: str = "any rig",
    ) -> None:
        self.settings, self.folder, self._label = settings, folder, label
        self._draw = draw or (lambda number: drawn_rig(settings.family, settings.corner, number))
        torch.manual_seed(settings.seed)
        self.student = _made(settings)
        if settings.begin:
            take(self.student, read_any(Path(settings.begin)))
        self.averaged = copy.deepcopy(self.student)
        self._gradients = gradients_of(self.student)
        self._adam = torch.optim.Adam(self.student.parameters(), settings.learning_rate)
        self._sparsity = _sparsity(self.student, self.averaged, settings)
        self._kept = KeptEpisodes(folder, settings.kept)
        self._failed: deque[int] = deque(maxlen=MOST_FAILED)
        self.round = self._steps = 0
        self._resume()

    def run(self) -> None:
        """Drive and learn for all rounds that are left."""
        left = range(self.round, self.settings.rounds)
        for number in Progress(left, desc=self._label, unit="round"):
            began = time.monotonic()
            begins = 0.0 if self.settings.begin else 1.0 - number / TEACHER_ROUNDS
            share = max(LAST_TEACHER_SHARE, begins)
            figures = self._drive(number, share)
            loss = self._learn(number)
            self.round = number + 1
            seconds = time.monotonic() - began
            self._note({"round": number, "loss": loss, **figures, "seconds": seconds})
            if self.round % self.settings.checkpoint_rounds == 0 or number == left[-1]:
                self.save()
        self._kept.delete_files()

    @property
    def actor(self) -> Actor:
        """Return the present student, its weights averaged, in numpy."""
        return acting(self.averaged)

    def _drive(self, number: int, share: float) -> dict[str, float | None]:
        """Drive a round's rigs and keep what was seen; return how the rigs fared that were drawn
        afresh."""
        settings = self.settings
        random = np.random.default_rng([settings.seed, number, 1])
        first = first_number(settings.seed) + number * settings.rigs
        numbers = np.arange(first, first + settings.rigs)
        # The teacher's rigs come first, those that failed before come last.
        taught = round(share * settings.rigs)
        again = min(round(settings.again * settings.rigs), len(self._failed), len(numbers) - taught)
        fresh = len(numbers) - again
        rigs = numbers.copy()
        rigs[fresh:] = random.choice(np.array(self._failed, np.int64), again, replace=False)
        # The starts must go with neither.
        starts = [STARTS[(number + 7 * k) % len(STARTS)] for k in range(settings.rigs)]
        drawn = [self._draw(int(each)) for each in rigs]
        driven = drive(
            [
                replace(rig, start=AT_REST) if start == REST else rig
                for rig, start in zip(drawn, starts, strict=True)
            ],
            [episode_seed(Series.DAGGER, int(each)) for each in numbers],
            self.actor,
            steps=settings.ticks,
            start=["hanging" if start == REST else start for start in starts],
            teacher_share=share,
            noise=settings.noise,
            seed=number,
        )
        self._kept.add(number, driven)
        balanced = np.asarray(driven.balanced[-100:].all(axis=0))
        # Not those that failed again: they would come back ever more often, and the more so the
        # less a rig can be balanced at all, until these are all that is remembered.
        self._failed.extend(int(each) for each in rigs[taught:fresh][~balanced[taught:fresh]])
        if taught >= fresh:
            return {"reward": None, "balanced_at_end": None}
        return {
            "reward": float(driven.rewards[:, taught:fresh].mean()),
            "balanced_at_end": float(balanced[taught:fresh].mean()),
        }

    def _learn(self, number: int) -> float:
        settings = self.settings
        random = np.random.default_rng([settings.seed, number])
        done = 0.5 * (1.0 + math.cos(math.pi * number / settings.rounds))
        rate = settings.learning_rate * (LAST_RATE + (1.0 - LAST_RATE) * done)
        if settings.begin:
            rate *= min(1.0, (number + 1) / WARM_UP_ROUNDS)
        for group in self._adam.param_groups:
            group["lr"] = rate
        if self._sparsity and number:
            self._sparsity.cut(number / settings.rounds, self._adam)
        losses = []
        for update in range(settings.updates):
            newest = len(self._kept) - 1
            which = newest if update % 2 == 0 else int(random.integers(len(self._kept)))
            inputs, labels, running = self._kept[which]
            chosen = random.permutation(settings.rigs)[: settings.batch]
            losses += self._pass(inputs[:, chosen], labels[:, chosen], running[:, chosen])
        return float(np.mean(losses))

    def _pass(self, inputs: Array, labels: Array, running: NDArray[np.bool_]) -> list[float]:
        """Go through episodes, one gradient step per chunk; the state carries over to the next."""
        settings, losses = self.settings, []
        carried = self._gradients.begin(inputs.shape[1])
        for first in range(0, settings.ticks, settings.chunk):
            part = slice(first, first + settings.chunk)
            # The whole batch is the divisor: what few rigs are left late must not weigh more.
            share = running[part] * self._weights(inputs[part]) / running[part].size
            self._adam.zero_grad()
            with self._sparsity.noise() if self._sparsity else nullcontext():
                loss, carried = self._gradients.of(
                    inputs[part], labels[part], share.astype(np.float32), carried
                )
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), LARGEST_GRADIENT)
            self._adam.step()
            self._average()
            losses.append(loss)
        return losses

    def _weights(self, inputs: Array) -> Array:
        """Return weights of ticks [ticks, rigs], 1 for an ordinary tick, by inputs [ticks, rigs,
        9]."""
        upright = inputs[..., 3] > UPRIGHT_COSINE
        slow = np.abs(inputs[..., 4]) < CALM_RAD_S / POLE_RAD_S
        catching = upright & ~(slow & (inputs[..., 3] > CALM_COSINE))
        outer = np.abs(inputs[..., 0]) > OUTER_SHARE / LIMIT_SHARE
        settings = self.settings
        weights: Array = 1.0 + settings.near_upright * upright + settings.near_limit * outer
        weights = weights + settings.catching * catching
        return weights

    def _average(self) -> None:
        self._steps += 1
        keep = min(self.settings.average, self._steps / (self._steps + 10))
        with torch.no_grad():
            for mean, now in zip(
                self.averaged.parameters(), self.student.parameters(), strict=True
            ):
                mean.lerp_(now, 1.0 - keep)
        if self._sparsity:
            self._sparsity.apply()

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
                    "steps": self._steps,
                    "failed": list(self._failed),
                    "student": self.student.state_dict(),
                    "averaged": self.averaged.state_dict(),
                    "adam": self._adam.state_dict(),
                    "sparsity": self._sparsity.state() if self._sparsity else {},
                },
                temporary,
            )
        self._kept.forget_files(self.round)

    def _resume(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        with intact(path):
            held = torch.load(path, weights_only=True)
            # A run of an earlier version does not have the settings that came later.
            before = AnyRigSettings(**held["settings"])
            if replace(before, rounds=0) != replace(self.settings, rounds=0):
                raise UserError(f"{path} is of a run with other settings; give another folder")
            self.round, self._steps = held["round"], held["steps"]
            self._failed.extend(held["failed"])
            self.averaged.load_state_dict(held["averaged"])
            self.student.load_state_dict(held["student"])
            self._adam.load_state_dict(held["adam"])
            if self._sparsity:
                self._sparsity.load_state(held["sparsity"])
        self._kept.load(self.round)


def read_student(folder: Path) -> tuple[Actor, dict[str, Any], int]:
    """Return the student of a distillation's last checkpoint, its settings, and the number of
    rounds that it has had.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"no checkpoint in {folder}; distil there first")
    with intact(path):
        held = torch.load(path, weights_only=True)
        student = _made(AnyRigSettings(**held["settings"]))
        student.load_state_dict(held["averaged"])
        return acting(student), held["settings"], held["round"]


def first_number(seed: int) -> int:
    """Return the number of the first rig of a distillation; its rounds take theirs in turn."""
    return 1_000_000 * (seed + 1)


def drawn_rig(family: str, corner: float, number: int) -> Rig:
    """Return the rig of a number; a share of them is from the family's corner. Which ones depends
    on the number alone, so that a rig which comes back is the same."""
    in_corner = np.random.default_rng(number).random() < corner
    return draw_rig(family, number, corner=bool(in_corner))


def take(student: Student, weights: Acting) -> None:
    """Give a student the weights of one that has learnt.

    Raises:
        UserError: that one has other units.
    """
    units = weights.weight_hh.shape[1]
    if not isinstance(student, GruStudent) or student.gru.hidden_size != units:
        raise UserError(f"the student to begin with has {units} units; give as many to learn")
    learnt = [getattr(weights, each.name) for each in fields(weights)]
    with torch.no_grad():
        for parameter, numbers in zip(student.in_order(), learnt, strict=True):
            parameter.copy_(torch.from_numpy(numbers))


def _sparsity(student: Student, averaged: Student, settings: AnyRigSettings) -> Sparsity | None:
    """Return what chooses the connections; None: all stay.

    Raises:
        UserError: the student is not a GRU, or as many cannot be kept.
    """
    if not settings.keep:
        return None
    if not isinstance(student, GruStudent) or not isinstance(averaged, GruStudent):
        raise UserError(f"keep {settings.keep}: only the connections of a GRU can be cut; give 0")
    return Sparsity(student, averaged, settings.keep, settings.score, settings.seed)


def _made(settings: AnyRigSettings) -> Student:
    if settings.units:
        return GruStudent(settings.units)
    return StackStudent(settings.frames, settings.hidden)
