"""Does the fast engine learn what the plain rewrite of the authors' update learns?

The same data, settings and budget on the cart-pole: imitation error, divergence, weights kept and
closed-loop return along the way, over seeds, for the plain update and for the engine in float32 and
in bfloat16. Losses are means of the last updates, since one minibatch's is mostly noise. Both have
the noise √(Σ x² σ²); the students act without it, cut at log α 2.

    python benchmarks/training_curves.py [--seeds 0 1 2 3] [--write]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.signals_json import normaliser
from sparsectl.policy.student_file import StudentFile, StudentLayer
from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
from sparsectl.training.bpd.plain import PlainBpd, right_deviation
from sparsectl.training.config import CollectConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.data.files import read_dataset
from sparsectl.training.distillation.figures import masked
from sparsectl.training.environments.signals import standardised
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.episodes import Rollouts
from sparsectl.training.rollouts.seeds import Series
from sparsectl.training.settings import BpdSettings
from sparsectl.training.students.masked import kept_weights

ROOT = Path(__file__).resolve().parent.parent
RIG = "sensorsini_cartpole"
ENVIRONMENT = f"sparsectl/{RIG}-v0"
SETTINGS = BpdSettings(
    steps=3000,
    hidden=(64, 64),
    critic_hidden=(64, 64),
    batch_size=128,
    learning_rate=3e-3,
    kl_multiplier=0.5,
    student_interval=1,
)
SAMPLES = 3
"""At each student on its way."""
AVERAGED = 200
"""Updates before a look, of which the losses are."""
LOSSES = ("critics", "imitation", "divergence")

Layers = tuple[StudentLayer, ...]


@dataclass(frozen=True)
class CurvesConfig:
    """What to run."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    """Of the students; the data are the same."""
    episodes: int = 20
    """For each return."""
    transitions: int = 20_000
    """Of the teacher."""
    runs: Path = ROOT / "runs" / "curves"
    """Folder for the data."""
    write: bool = False
    """Write results/training_curves.json."""


class Plain:
    """The plain update, for several seeds one after the other."""

    def __init__(self, dataset: Dataset, signals: dict[str, Any], seeds: Sequence[int]) -> None:
        offset, scale, action_offset, action_scale, *_ = normaliser(signals)
        columns = (
            (dataset.observations - offset) / scale,
            (dataset.actions - action_offset) / action_scale,
            dataset.rewards[:, None],
            (dataset.next_observations - offset) / scale,
            dataset.terminations[:, None],
        )
        rows = tuple(np.ascontiguousarray(column, np.float32) for column in columns)
        self.students = [
            PlainBpd(
                rows,
                (SETTINGS.hidden[0], SETTINGS.hidden[1]),
                SETTINGS.steps,
                seed,
                critic_hidden=(SETTINGS.critic_hidden[0], SETTINGS.critic_hidden[1]),
                learning_rate=SETTINGS.learning_rate,
                batch_size=SETTINGS.batch_size,
                kl_multiplier=SETTINGS.kl_multiplier,
                student_interval=SETTINGS.student_interval,
                deviation=right_deviation,
            )
            for seed in seeds
        ]

    def update(self) -> None:
        for student in self.students:
            student.update()

    def losses(self, number: int) -> dict[str, float]:
        return {name: float(value) for name, value in self.students[number].losses.items()}

    def layers(self, number: int) -> Layers:
        return tuple(
            StudentLayer(
                layer.mean.detach().numpy().copy(),
                layer.log_sigma.detach().numpy().copy(),
                layer.bias.detach().numpy()[0].copy(),
            )
            for layer in self.students[number].student.layers
        )


class Engine:
    """The engine, all seeds at once."""

    def __init__(
        self, dataset: Dataset, signals: dict[str, Any], seeds: Sequence[int], dtype: Any
    ) -> None:
        settings = replace(SETTINGS, critic_dtype=dtype)
        device = torch.device("cpu")
        self.engine = BayesianPolicyDistillation(dataset, signals, settings, seeds, device)

    def update(self) -> None:
        self.engine.update()

    def losses(self, number: int) -> dict[str, float]:
        return {name: float(value[number]) for name, value in self.engine.losses.items()}

    def layers(self, number: int) -> Layers:
        return self.engine.posterior(number)


def curves(
    trainer: Plain | Engine, config: CurvesConfig, returned: Callable[[Layers], float]
) -> list[list[dict[str, float]]]:
    """For each look and seed: losses, weights kept, return."""
    rows, steps = [], SETTINGS.steps // SAMPLES
    for _ in range(SAMPLES):
        for _ in range(steps - AVERAGED):
            trainer.update()
        losses = averaged(trainer, len(config.seeds))
        row = []
        for number, figures in enumerate(losses):
            layers = masked(trainer.layers(number), SETTINGS.log_alpha_threshold)
            figures |= {"kept_weights": kept_weights(layers), "return": returned(layers)}
            row.append(figures)
        rows.append(row)
    return rows


def averaged(trainer: Plain | Engine, students: int) -> list[dict[str, float]]:
    """Each student's losses, means of the next updates."""
    sums = [dict.fromkeys(LOSSES, 0.0) for _ in range(students)]
    for _ in range(AVERAGED):
        trainer.update()
        for number, sum_of in enumerate(sums):
            losses = trainer.losses(number)
            for name in LOSSES:
                sum_of[name] += losses[name] / AVERAGED
    return sums


def policy(layers: Layers, signals: dict[str, Any]) -> ActingPolicy:
    """The student as it acts."""
    metadata = {
        "activations": ["relu"] * (len(layers) - 1) + ["tanh"],
        "log_alpha_threshold": SETTINGS.log_alpha_threshold,
        "signals": signals,
    }
    return ActingPolicy(StudentFile(layers, metadata).network(), 0, "", signals, ENVIRONMENT)


def main(config: CurvesConfig) -> None:
    """Run, print and write."""
    torch.set_num_threads(1)
    path = config.runs / "dataset.npz"
    if not path.is_file():
        teacher = ROOT / "training" / "teachers" / f"{RIG}.onnx"
        collect(CollectConfig(teacher, ENVIRONMENT, path, config.transitions, seed=0, workers=1))
    dataset = read_dataset(path)
    dataset = replace(dataset, teacher_actions=dataset.actions)  # as in the authors' update
    signals = standardised(dataset.signals, dataset.observations)
    results = {}
    with Rollouts(ENVIRONMENT, 1) as rollouts:

        def returned(layers: Layers) -> float:
            acting = policy(layers, signals)
            return float(rollouts.returns(acting, (Series.BENCHMARK,), config.episodes).mean())

        trainers = {
            "plain update": Plain(dataset, signals, config.seeds),
            "engine, float32": Engine(dataset, signals, config.seeds, "float32"),
            "engine, bfloat16": Engine(dataset, signals, config.seeds, "bfloat16"),
        }
        for name, trainer in trainers.items():
            results[name] = curves(trainer, config, returned)
            show(name, results[name])
    if config.write:
        written = {
            "rig": RIG,
            "settings": {**SETTINGS.__dict__},
            "seeds": config.seeds,
            "episodes": config.episodes,
            "curves": results,
            "provenance": provenance(),
        }
        write_json(ROOT / "benchmarks" / "results" / "training_curves.json", written)


def show(name: str, rows: list[list[dict[str, float]]]) -> None:
    """A line a look: mean over seeds and its standard error."""
    for number, row in enumerate(rows, start=1):
        cells = []
        for key in row[0]:
            values = np.array([figures[key] for figures in row])
            cells.append(f"{key} {values.mean():.4g} ± {standard_error(values):.2g}")
        print(f"{name:18} {number * SETTINGS.steps // SAMPLES:5}  " + "  ".join(cells), flush=True)


def standard_error(values: Any) -> float:
    """Of the mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    main(tyro.cli(CurvesConfig))
