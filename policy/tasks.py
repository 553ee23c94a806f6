"""Policies of several tasks: one trunk, a head a task, and of each head its choice as an action.

A head's choice stands at its task's place in the action. What a policy does in one task alone is
the trunk with that head: rows of the last layer, and where images were padded with empty channels
to one size, only the columns of the task's own (Rusu et al. 2015, section 3.3, has the heads).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.signals import INDEX, shown

JSON = dict[str, Any]

LEAST, MOST = 2, 64
"""Tasks of one policy."""
TASK, CHOICE = "task", "choice"
"""Of a policy of several tasks as ONNX an input that need not be given, the numbers of tasks
[tasks], and the output with their choices [batch, tasks]; without the input those of all."""
MOST_CHOICES = 2**24
"""Up to which float32 has every whole number."""


def heads_of(signals: Any) -> tuple[int, ...]:
    """How many choices each action has, where actions are several choices; empty: they are not."""
    entries = signals.get("action") if isinstance(signals, dict) else None
    if not isinstance(entries, list) or len(entries) < LEAST:
        return ()
    counts = [_choices(entry) for entry in entries]
    return tuple(counts) if all(counts) else ()


def _choices(entry: Any) -> int:
    if not isinstance(entry, dict) or entry.get("unit") != INDEX:
        return 0
    low, high = entry.get("low"), entry.get("high")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return 0
    if not (abs(low) < MOST_CHOICES and abs(high) < MOST_CHOICES):  # nor is NaN
        return 0
    return max(0, int(high) - int(low) + 1)


def tasks_of(metadata: JSON) -> list[JSON]:
    """The tasks of a student by its metadata, each with `signals` and `environment`; none where it
    is of one.

    Raises:
        UserError: what the metadata says of them does not fit together.
    """
    tasks = metadata.get("tasks")
    if tasks is None:
        return []
    heads = heads_of(metadata.get("signals"))
    known: list[JSON] = [task for task in tasks if isinstance(task, dict)] if _listed(tasks) else []
    if not LEAST <= len(known) <= MOST or not len(known) == len(tasks) == len(heads):
        raise UserError(f"tasks are {shown(tasks)} for {len(heads)} heads; distil it again")
    for number, (task, count) in enumerate(zip(known, heads, strict=True)):
        own = task.get("signals")
        actions = own.get("action") if isinstance(own, dict) else None
        if not isinstance(actions, list) or [_choices(entry) for entry in actions] != [count]:
            raise UserError(f"task {number} does not have its head's {count} choices")
    return known


def _listed(tasks: Any) -> bool:
    return isinstance(tasks, list) and len(tasks) <= MOST


def check_task(tasks: list[JSON], number: int, path: Any) -> JSON:
    """The task of that number.

    Raises:
        UserError: there is none.
    """
    if not tasks:
        raise UserError(f"task is {number}, but {path} is of one task; leave it out")
    if not 0 <= number < len(tasks):
        raise UserError(f"task is {number}, but {path} has the tasks {said(tasks)}; give one")
    return tasks[number]


def said(tasks: list[JSON]) -> str:
    """The tasks with their numbers, in words."""
    return ", ".join(f"{i} ({task.get('environment')})" for i, task in enumerate(tasks))


def rows_of(signals: JSON, number: int) -> slice:
    """The last layer's rows that are a task's head."""
    heads = heads_of(signals)
    first = sum(heads[:number])
    return slice(first, first + heads[number])


def columns_of(signals: JSON, own: JSON, width: int) -> NDArray[np.intp]:
    """Of `width` inputs, an image's or a patch's, those that a task has.

    Args:
        signals: of the policy of all tasks.
        own: of the task.
        width: inputs of the first layer's weights.

    Raises:
        UserError: the task's observations are no part of the policy's.
    """
    image, part = signals.get("image"), own.get("image")
    if image is None and part is None:
        if len(own["observation"]) != len(signals["observation"]):
            raise UserError("a task's observations have another size than the policy's")
        return np.arange(width)
    if image is None or part is None or part[:2] != image[:2] or part[2] > image[2]:
        raise UserError(f"a task's images are {shown(part)}, the policy's {shown(image)}")
    return np.flatnonzero(np.arange(width) % image[2] < part[2])


def signals_of_task(signals: JSON, own: JSON) -> JSON:
    """A task's own signals, with the scales by which the policy of all tasks takes them."""
    entries = signals["observation"]
    columns = columns_of(signals, own, len(entries))
    pairs = zip(own["observation"], columns, strict=True)
    observation = [
        {**entry, "scale": entries[column]["scale"], "offset": entries[column]["offset"]}
        for entry, column in pairs
    ]
    return {**own, "observation": observation}
