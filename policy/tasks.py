"""Policies of several tasks: one trunk, one head per task, and each head's choice as an action.

A head's choice is at its task's index in the action. In one task alone, the policy is the trunk
with that head: some rows of the last layer and, if images were padded with empty channels to one
size, only the columns of the task's own channels (Rusu et al. 2015, section 3.3, describes the
heads).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.signals import INDEX, shown

JSON = dict[str, Any]

LEAST, MOST = 2, 64
"""The most tasks of a policy."""
TASK, CHOICE = "task", "choice"
"""Names in the ONNX file of a policy of several tasks: an optional input, the indices of tasks
[tasks], and the output with their choices [batch, tasks]; without the input, the output is that of
all tasks."""
MOST_CHOICES = 2**24
"""Below this, float32 represents every whole number."""


def heads_of(signals: Any) -> tuple[int, ...]:
    """Return the number of choices of each action, if the actions are several choices; otherwise
    nothing."""
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
    """Return the tasks in a student's metadata, each with `signals` and `environment`; none if it
    has a single task.

    Raises:
        UserError: the metadata of the tasks is inconsistent.
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
    """Return the task with this index.

    Raises:
        UserError: there is none.
    """
    if not tasks:
        raise UserError(f"task is {number}, but {path} is of one task; leave it out")
    if not 0 <= number < len(tasks):
        raise UserError(f"task is {number}, but {path} has the tasks {said(tasks)}; give one")
    return tasks[number]


def said(tasks: list[JSON]) -> str:
    """List the tasks with their indices, for a message."""
    return ", ".join(f"{i} ({task.get('environment')})" for i, task in enumerate(tasks))


def rows_of(signals: JSON, number: int) -> slice:
    """Return the rows of the last layer that are a task's head."""
    heads = heads_of(signals)
    first = sum(heads[:number])
    return slice(first, first + heads[number])


def columns_of(signals: JSON, own: JSON, width: int) -> NDArray[np.intp]:
    """Return the columns, of `width` inputs of an image or a patch, that a task has.

    Args:
        signals: those of the policy of all tasks.
        own: those of the task.
        width: number of inputs of the first layer's weights.

    Raises:
        UserError: the task's observations are not part of the policy's.
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
    """Return a task's own signals, with the scales that the policy of all tasks uses."""
    entries = signals["observation"]
    columns = columns_of(signals, own, len(entries))
    pairs = zip(own["observation"], columns, strict=True)
    observation = [
        {**entry, "scale": entries[column]["scale"], "offset": entries[column]["offset"]}
        for entry, column in pairs
    ]
    return {**own, "observation": observation}
