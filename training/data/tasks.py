"""Join the datasets of several tasks: each keeps its rows, with the labels of its own head.

Each is a replay memory of its own (Rusu et al. 2015, section 3.3); minibatches take them in turn.
The labels of another task's teacher are not known and are NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.signals_json import IMAGE, image_of
from sparsectl.policy.tasks import MOST
from sparsectl.training.data.dataset import TASK_ROWS, Dataset
from sparsectl.training.environments.signals import choice_signal

JSON = dict[str, Any]


def joined_tasks(datasets: Sequence[Dataset], paths: Sequence[Path]) -> Dataset:
    """One dataset of several tasks.

    Images of equal height and width are padded with empty channels to one size.

    Raises:
        UserError: a dataset has no choices or is given twice, or the observations do not fit one
            trunk.
    """
    if len(datasets) > MOST:
        raise UserError(f"{len(datasets)} datasets are given; give at most {MOST}, one a task")
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise UserError(f"{path} is given twice, and each dataset is a task; give it once")
    for dataset, path in zip(datasets, paths, strict=True):
        if dataset.choices is None:
            raise UserError(
                f"{path} has continuous actions, but a student of several tasks has a head of "
                "choices for each; distil it alone"
            )
    image = _image(datasets, paths)
    counts = [dataset.label_size for dataset in datasets]
    parts = [_of_task(dataset, number, counts, image) for number, dataset in enumerate(datasets)]
    names = ("observations", "next_observations", "actions", "teacher_actions", "teacher_values")
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in names}
    for name in ("rewards", "terminations", "truncations"):
        arrays[name] = np.concatenate([getattr(dataset, name) for dataset in datasets])
    return Dataset(**arrays, metadata=_metadata(datasets, image))


def _image(datasets: Sequence[Dataset], paths: Sequence[Path]) -> tuple[int, int, int] | None:
    """Return the shape of the images of all tasks together; None: their observations are vectors of
    one size."""
    images = [image_of(dataset.signals) for dataset in datasets]
    for path, dataset, shape in zip(paths[1:], datasets[1:], images[1:], strict=True):
        first, size = images[0], dataset.observations.shape[1]
        fits = (
            size == datasets[0].observations.shape[1]
            if first is None or shape is None
            else first[:2] == shape[:2]
        )
        if not fits or (first is None) != (shape is None):
            raise UserError(
                f"{path} has observations of {_said(shape, size)}, {paths[0]} of "
                f"{_said(first, datasets[0].observations.shape[1])}; one trunk takes vectors of "
                "one size, or images of one height and width"
            )
    known = [shape for shape in images if shape is not None]
    return (*known[0][:2], max(shape[2] for shape in known)) if known else None


def _said(shape: tuple[int, int, int] | None, size: int) -> str:
    return f"{size} numbers" if shape is None else f"{shape[0]} x {shape[1]} pixels"


def _of_task(
    dataset: Dataset, number: int, counts: list[int], image: tuple[int, int, int] | None
) -> dict[str, Array]:
    rows, first = len(dataset), sum(counts[:number])
    actions = np.zeros((rows, len(counts)), np.float32)
    labels = np.full((rows, len(counts)), np.nan, np.float32)
    values = np.full((rows, sum(counts)), np.nan, np.float32)
    actions[:, number] = dataset.actions[:, 0]
    labels[:, number] = dataset.teacher_actions[:, 0]
    values[:, first : first + counts[number]] = dataset.choice_values()
    own = image_of(dataset.signals)
    return {
        "observations": _padded(dataset.observations, own, image),
        "next_observations": _padded(dataset.next_observations, own, image),
        "actions": actions,
        "teacher_actions": labels,
        "teacher_values": values,
    }


def _padded(
    observations: Array, own: tuple[int, int, int] | None, image: tuple[int, int, int] | None
) -> Array:
    if own is None or image is None or own == image:
        return observations
    padded = np.zeros((len(observations), *image), np.float32)
    padded[..., : own[2]] = observations.reshape(-1, *own)
    return padded.reshape(len(observations), -1)


def _metadata(datasets: Sequence[Dataset], image: tuple[int, int, int] | None) -> JSON:
    tasks = [
        {
            "environment": dataset.metadata.get("environment"),
            "signals": dataset.signals,
            "teacher": dataset.metadata.get("teacher"),
        }
        for dataset in datasets
    ]
    return {
        "signals": _signals(datasets, image),
        "tasks": tasks,
        "teacher": _teachers([task["teacher"] for task in tasks]),
        TASK_ROWS: [len(dataset) for dataset in datasets],
    }


def _signals(datasets: Sequence[Dataset], image: tuple[int, int, int] | None) -> JSON:
    """Return the signals of all tasks if they are equal, otherwise plain ones; the action has one
    signal per task."""
    each = [dataset.signals for dataset in datasets]
    first = each[0]
    same = all(signals["observation"] == first["observation"] for signals in each)
    observation, frames = first["observation"], int(first["frames"])
    if not same or any(signals["frames"] != frames for signals in each):
        size = datasets[0].observations.shape[1] if image is None else int(np.prod(image))
        plain = {"unit": "", "offset": 0.0, "low": None, "high": None}
        scale = 1.0 if image is None else float(observation[0]["scale"])
        observation = [{"name": f"o{i}", "scale": scale, **plain} for i in range(size)]
        frames = 1
    periods = {float(signals.get("period_s", 0.0)) for signals in each}
    action = []
    for number, dataset in enumerate(datasets):
        assert dataset.choices is not None
        of = dataset.metadata.get("environment")
        name = f"choice_{number}" + (f" of {of}" if of else "")
        action.append({**choice_signal(dataset.choices), "name": name})
    return {
        "observation": observation,
        "action": action,
        "frames": frames,
        "period_s": periods.pop() if len(periods) == 1 else 0.0,
        "rig": None,
        **({} if image is None else {IMAGE: list(image)}),
    }


def _teachers(facts: Sequence[JSON | None]) -> JSON | None:
    """Return the total size of all teachers, if each one's is known."""
    known = [fact for fact in facts if fact is not None]
    if len(known) < len(facts):
        return None
    together: JSON = {"sha256": "+".join(str(fact.get("sha256")) for fact in known)}
    for name in ("parameters", "weights"):
        sizes = [fact.get(name) for fact in known]
        together[name] = None if None in sizes else sum(size for size in sizes if size is not None)
    return together
