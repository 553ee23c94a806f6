"""Critics fitted once to a dataset, saved, and shared by all students of a sweep.

The paper trains twin critics beside each student, towards that student's own next action. Here they
are fitted in advance, by the same rule, towards the teacher's next action, so they value the
teacher's policy. Students then only need their gradient, which takes a fraction of the time.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.common.safetensors_file import write_safetensors
from sparsectl.training.data.batches import Batches
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.nn.critics import (
    DTYPES,
    FirstCritics,
    Networks,
    TwinCritics,
    parameter_shapes,
)
from sparsectl.training.settings import BpdSettings

FORMAT = "sparsectl.critics"
VERSION = 1
BYTES_LIMIT = 2**30


@dataclass(frozen=True)
class FittedFacts:
    """The facts about fitted critics that are saved with them.

    Attributes:
        sizes: number of observations and actions, of hidden neurons, and 1.
        dataset: SHA-256 of the dataset's arrays.
        discount: per step.
        steps: number of minibatches.
        error: the critics' summed squared errors over the last tenth of the steps.
    """

    sizes: tuple[int, ...]
    dataset: str
    discount: float
    steps: int
    error: float


@dataclass(frozen=True)
class FittedCritics:
    """Fitted critics Q1 and Q2.

    Attributes:
        values: [P] float32, on the CPU.
    """

    values: Tensor
    facts: FittedFacts

    def for_students(
        self, students: int, rows: int, dtype: torch.dtype, device: torch.device
    ) -> FirstCritics:
        """Return Q1 for the minibatches of S students."""
        sizes = self.facts.sizes
        networks = Networks(self.values.to(device), sizes, 2, dtype)
        return FirstCritics(networks, sizes, students, rows, dtype, device, shared=True)


def with_next_actions(dataset: Dataset) -> Dataset:
    """Return the transitions whose next action is known, with that action in place of
    `teacher_actions`.

    The next action is the teacher's label of the next observation, which is in the next row while
    the episode continues. After a termination none is needed; a transition at a truncation is left
    out.
    """
    following = np.roll(dataset.teacher_actions, -1, axis=0)
    not_done = ~(dataset.terminations | dataset.truncations)
    not_done[-1] = False
    same = (dataset.next_observations == np.roll(dataset.observations, -1, axis=0)).all(axis=1)
    chosen = (not_done & same) | dataset.terminations
    arrays = {
        name: getattr(dataset, name)[chosen]
        for name in (
            *("observations", "actions", "rewards", "next_observations"),
            *("terminations", "truncations"),
        )
    }
    return Dataset(**arrays, teacher_actions=following[chosen], metadata=dataset.metadata)


def fit_critics(
    dataset: Dataset,
    signals: dict[str, Any],
    settings: BpdSettings,
    steps: int,
    seed: int,
    device: torch.device,
) -> FittedCritics:
    """Fit critics to the dataset with the settings of critics that are trained beside students.

    Raises:
        UserError: too few transitions have a next action.
    """
    batches = Batches(with_next_actions(dataset), signals, settings.batch_size, device)
    sizes = (batches.observation_size + batches.action_size, *settings.critic_hidden, 1)
    random = torch.Generator(device).manual_seed(2 * seed + 1)
    critics = TwinCritics(
        sizes,
        [torch.Generator().manual_seed(2 * seed)],
        settings.batch_size,
        settings.critic_learning_rate,
        DTYPES[settings.critic_dtype],
        device,
    )
    error, counted = torch.zeros(1, device=device), 0
    for step in Progress(range(steps), desc="critics", unit="step"):
        batch = batches.sample([random])
        loss = critics.learn(
            batch.state_action,
            batch.next_observations,
            batch.labels,
            batch.rewards,
            settings.discount * batch.not_done,
        )
        if step % settings.student_interval == 0:
            critics.soft_update(settings.target_rate)
        if step >= 0.9 * steps:
            error, counted = error + loss, counted + 1
    facts = FittedFacts(
        sizes, dataset.digest(), settings.discount, steps, float(error) / max(counted, 1)
    )
    if not np.isfinite(facts.error):
        raise UserError(
            f"the critics diverged: their error is {facts.error}; give a smaller "
            "learning rate of the critics"
        )
    return FittedCritics(critics.values.cpu(), facts)


def shared_critics(
    path: Path, dataset: Dataset, signals: dict[str, Any], settings: BpdSettings, seed: int
) -> FittedCritics:
    """Read the critics in this file; if it does not exist, fit and write them.

    Raises:
        UserError: the file is damaged or belongs to another dataset, or fitting failed.
    """
    if not path.exists():
        device = torch.device("cpu")
        fitted = fit_critics(dataset, signals, settings, settings.steps, seed, device)
        write_critics(path, fitted)
    critics = read_critics(path, dataset)
    if critics.facts.discount != settings.discount:
        raise UserError(
            f"{path} was fitted with the discount {critics.facts.discount:g}, not the run's "
            f"{settings.discount:g}; give another path"
        )
    return critics


def write_critics(path: Path, critics: FittedCritics) -> None:
    """Write critics to a file, completely or not at all."""
    header = {"format": FORMAT, "version": VERSION, **asdict(critics.facts)}
    metadata = {"sparsectl": json.dumps(header)}
    write_safetensors(path, save_file, {"values": critics.values}, metadata)


def read_critics(path: Path, dataset: Dataset) -> FittedCritics:
    """Read critics that were fitted to this dataset.

    Raises:
        UserError: the file is missing, damaged, or of another dataset.
    """
    try:
        if path.stat().st_size > BYTES_LIMIT:
            raise UserError(f"{path} has more than {BYTES_LIMIT} bytes; critics are smaller")
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("sparsectl", "null"))
            values = file.get_tensor("values")
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} holds no critics ({error}); give another path") from error
    if not isinstance(header, dict) or (header.get("format"), header.get("version")) != (
        FORMAT,
        VERSION,
    ):
        raise UserError(f"{path} holds no critics of this version; give another path")
    facts = FittedFacts(
        tuple(header.get("sizes") or ()),
        str(header.get("dataset")),
        float(header.get("discount", 0)),
        int(header.get("steps", 0)),
        float(header.get("error", 0)),
    )
    expected = sum(math.prod(shape) for shape in parameter_shapes(facts.sizes, 2))
    if values.shape != (expected,) or not bool(torch.isfinite(values).all()):
        raise UserError(f"{path} does not hold {expected} finite values of critics; fit them again")
    if facts.dataset != dataset.digest():
        raise UserError(f"{path} was fitted to another dataset; give another path")
    return FittedCritics(values, facts)
