"""A student of a teacher that still learns (Rusu et al. 2015): results/online_distillation.json.

As in the paper a copy of the teacher is kept whenever it scores better than before, and the student
learns from the best copy so far: after each of the teacher's evaluations that copy acts, its
transitions join a replay memory of the last few turns, and the student continues to learn. What
the student does has no effect on the teacher, so the teacher is taught first, with every copy kept,
and the student sees of it only what there was at that time. A teacher scores in one set of
episodes, by which its copies are chosen; the curves here are of others.

    python benchmarks/online_distillation.py [--game breakout] [--seeds 0 1 2 3 4]
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from measured import here, mark
from policy_distillation import SIZES, env_of, returns_of

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import revision
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.load import load_acting
from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
from sparsectl.training.config import CollectConfig, DistillConfig, TeachConfig
from sparsectl.training.data.batches import Batches
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.data.files import read_dataset
from sparsectl.training.distillation.distill import check_distill
from sparsectl.training.distillation.figures import masked
from sparsectl.training.distillation.identity import facts_of
from sparsectl.training.distillation.resolution import fitted
from sparsectl.training.policy_distillation.term import term_of
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.settings import FinetuneOptions
from sparsectl.training.teachers.teach import teach

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "online_distillation.json"

JSON = dict[str, Any]

CPU = torch.device("cpu")
EXPLORATION = 0.05
"""Probability of a choice by chance while the teacher plays for the memory."""


@dataclass(frozen=True)
class OnlineConfig:
    """A teacher, and students that learn from it meanwhile."""

    game: str = "breakout"
    """Of the shipped teachers' names, without `minatar_`; it is taught anew, as they were."""
    frames: int = 400_000
    """Of the teacher."""
    evaluate_every: int = 25_000
    """Frames between evaluations, after each of which it is the students' turn."""
    size: int = 25
    """Of the students, in per cent of the teacher."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Of the students; the teacher is the same one."""
    transitions: int = 5_000
    """That the best copy plays in a turn."""
    turns_kept: int = 4
    """In the replay memory."""
    updates: int = 300
    """Minibatches of 128 in a turn."""
    episodes: int = 20
    """That measure teacher and students in a turn; they choose nothing."""
    runs: Path = ROOT / "runs" / "online_distillation"
    """Where the teacher, its copies and what they play are kept."""
    out: Path = RESULTS


@dataclass(frozen=True)
class Turn:
    """After an evaluation of the teacher: how far it is, as it stands, and the best copy so far."""

    number: int
    frames: int
    now: Path
    best: Path


class OnlineStudent:
    """A student that continues to learn while its replay memory moves."""

    def __init__(self, config: OnlineConfig, memory: Dataset, seed: int) -> None:
        channels, hidden = SIZES[config.size]
        asked = DistillConfig(
            config.runs / "memory",
            config.runs / "student",
            "quick",
            method="policy-distillation",
            channels=channels,
            hidden=(hidden,),
            batch_size=128,
            learning_rate=1e-3,
            finetune=FinetuneOptions(steps=0),
            seed=seed,
        )
        asked, preset = check_distill(asked)
        preset, term = fitted(preset, asked, memory), term_of(asked, memory, None)
        self.facts = facts_of(asked, preset, memory, None, term)
        self.trainer = BayesianPolicyDistillation(
            memory, self.facts.signals, preset.bpd, [seed], CPU, term=term
        )
        self.batch_size = preset.bpd.batch_size

    def learn(self, memory: Dataset, updates: int) -> None:
        """Go on with what the memory has now."""
        self.trainer.batches = Batches(memory, self.facts.signals, self.batch_size, CPU)
        for _ in range(updates):
            self.trainer.update()

    def policy(self) -> ActingPolicy:
        """As it is now."""
        layers = masked(self.trainer.posterior(), self.facts.threshold)
        return self.facts.policy(self.facts.student(layers, []))


def taught(config: OnlineConfig) -> Iterator[Turn]:
    """The teacher's evaluations in order; it is taught where that is not done yet."""
    out = config.runs / f"{config.game}-{config.frames}-{config.evaluate_every}"
    teach(
        TeachConfig(
            env_of(config.game),
            algo="ppo",
            steps=config.frames,
            hidden=(SIZES[100][1],),
            evaluate_every=config.evaluate_every,
            evaluate_episodes=20,
            keep_all=True,
            out=out,
        )
    )
    with (out / "learning_curve.csv").open() as file:
        yield from turns_of(list(csv.DictReader(file)), out)


def turns_of(rows: list[dict[str, str]], out: Path) -> Iterator[Turn]:
    """The rows of a learning curve, each with the best copy up to there."""
    best, score = Path(), -np.inf
    for number, row in enumerate(rows):
        now = out / "evaluations" / f"{row['steps']}.onnx"
        if float(row["return_mean"]) > score:
            best, score = now, float(row["return_mean"])
        yield Turn(number, int(row["steps"]), now, best)


def played(turn: Turn, config: OnlineConfig) -> Dataset:
    """What the best copy does in a turn, kept for the next student."""
    name = f"{config.game}-{mark(turn.best)}-{config.transitions}-{turn.number}.npz"
    path = config.runs / name
    if not path.exists():
        asked = CollectConfig(turn.best, env_of(config.game), path, config.transitions)
        collect(replace(asked, noise=EXPLORATION, noise_fraction=1.0, seed=turn.number, workers=1))
    return read_dataset(path)


def together(parts: list[Dataset]) -> Dataset:
    """One replay memory of several turns."""
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].arrays
    }
    return replace(parts[0], **arrays)


def teacher_row(turns: list[Turn], config: OnlineConfig) -> JSON:
    """Returns [episodes] of the teacher in each turn: as it stands, and the best copy."""
    measured: dict[Path, list[float]] = {}
    for path in {path for turn in turns for path in (turn.now, turn.best)}:
        measured[path] = returns_of(load_acting(path).act, config.game, config.episodes)
    return {
        "frames": [turn.frames for turn in turns],
        "now": [measured[turn.now] for turn in turns],
        "best": [measured[turn.best] for turn in turns],
    }


def student_row(turns: list[Turn], seed: int, config: OnlineConfig) -> JSON:
    """A student's returns [episodes] in each turn."""
    parts: list[Dataset] = []
    found, student = [], None
    with Progress(total=len(turns), desc=f"student {seed}", unit="turn") as bar:
        for turn in turns:
            parts = [*parts, played(turn, config)][-config.turns_kept :]
            memory = together(parts)
            student = student or OnlineStudent(config, memory, seed)
            student.learn(memory, config.updates)
            found.append(returns_of(student.policy().act, config.game, config.episodes))
            bar.update()
    return {"seed": seed, "returns": found, "revision": revision()}


def begun(config: OnlineConfig) -> JSON:
    """What the results file has so far.

    Raises:
        UserError: it has students of other settings.
    """
    settings = {name: getattr(config, name) for name in SHARED}
    if not config.out.exists():
        return {"settings": settings, "students": []}
    found: JSON = read_json(config.out)
    for name, value in settings.items():
        if found["settings"][name] != value:
            raise UserError(
                f"{name} is {value}, but {config.out} has students with "
                f"{found['settings'][name]}; give another --out, or the same settings"
            )
    return found


def main(config: OnlineConfig) -> None:
    """Run what is not finished yet, and write the results' file after each student."""
    torch.set_num_threads(1)
    found = begun(config)
    turns = list(taught(config))
    found.setdefault("teacher", teacher_row(turns, config))
    for seed in config.seeds:
        if seed not in [row["seed"] for row in found["students"]]:
            found["students"].append(student_row(turns, seed, config))
            write_json(config.out, found | {"provenance": here()})


SHARED = (
    "game",
    "frames",
    "evaluate_every",
    "size",
    "transitions",
    "turns_kept",
    "updates",
    "episodes",
)
"""Settings that all students of a results file have alike."""

if __name__ == "__main__":
    main(tyro.cli(OnlineConfig))
