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
from sparsectl.common.memory import check_memory
from sparsectl.policy.signals_json import IMAGE, image_of
from sparsectl.policy.tasks import MOST
from sparsectl.training.data.dataset import TASK_ROWS, Dataset
from sparsectl.training.environments.signals import choice_signal

JSON = dict[str, Any]


def check_tasks(datasets: Sequence[Dataset], paths: Sequence[Path]) -> None:
    """Check that the datasets can be joined.

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
    _image(datasets, paths)


def joined_tasks(datasets: list[Dataset], paths: Sequence[Path]) -> Dataset:
    """One dataset of several tasks, which `check_tasks` has passed.

    Images of equal height and width are padded with empty channels to one size. The datasets are
    taken out of the list, so that beside the whole no more of them are in memory than are to come.

    Raises:
        UserError: the whole does not fit in memory.
    """
    image = _image(datasets, paths)
    counts = [dataset.label_size for dataset in datasets]
    metadata = _metadata(datasets, image)
    rows, size = sum(metadata[TASK_ROWS]), len(metadata["signals"]["observation"])
    held = [2 * dataset.observations.nbytes for dataset in datasets]
    check_memory(
        2 * 4 * rows * size - sum(held) + max(held),
        f"{len(counts)} tasks of {rows:,} transitions with {size:,} numbers each",
        "collect fewer transitions of each task",
    )
    arrays: dict[str, Any] = {
        "observations": np.zeros((rows, size), np.float32),
        "next_observations": np.zeros((rows, size), np.float32),
        "actions": np.zeros((rows, len(counts)), np.float32),
        "teacher_actions": np.full((rows, len(counts)), np.nan, np.float32),
        "teacher_values": np.full((rows, sum(counts)), np.nan, np.float32),
        "rewards": np.zeros(rows, np.float32),
        "terminations": np.zeros(rows, np.bool_),
        "truncations": np.zeros(rows, np.bool_),
    }
    end = 0
    for number in range(len(counts)):
        dataset, first = datasets.pop(0), end
        end += len(dataset)
        _fill({name: array[first:end] for name, array in arrays.items()}, dataset, number, image)
        head = sum(counts[:number])
        arrays["teacher_values"][first:end, head : head + counts[number]] = dataset.choice_values()
    return Dataset(**arrays, metadata=metadata)


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


def _fill(
    arrays: dict[str, Any], dataset: Dataset, number: int, image: tuple[int, int, int] | None
) -> None:
    """Write a task's rows into its part of the whole, but for its teacher's values."""
    own, rows = image_of(dataset.signals), len(dataset)
    for name in ("observations", "next_observations"):
        values = getattr(dataset, name)
        if own is None or image is None:
            arrays[name][:] = values
        else:
            padded = arrays[name].reshape(rows, *image)
            padded[..., : own[2]] = values.reshape(-1, *own)
    for name in ("actions", "teacher_actions"):
        arrays[name][:, number] = getattr(dataset, name)[:, 0]
    for name in ("rewards", "terminations", "truncations"):
        arrays[name][:] = getattr(dataset, name)


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
