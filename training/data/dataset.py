"""Transitions of a policy in an environment, as plain arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.choices import VALUES, Choices, choices_of
from sparsectl.policy.signals_json import check_signals, normaliser
from sparsectl.policy.tasks import heads_of

Flags = NDArray[np.bool_]
TABLE = 2
"""Dimensions of an array with a row per transition and a column per number."""
IN_ROWS = "it needs a row per transition and a column per number"
TIE = 1e-4
"""Values of choices that differ by less, as a share of the larger one's size or of 1, are equal:
those of a batch and of a single row differ by rounding."""

VALUES_KIND = "values"
"""Key of the metadata: the kind of `teacher_values`, one of `policy.choices.VALUES`."""
TASK_ROWS = "task_rows"
"""Key of the metadata of several tasks joined (tasks.py): the number of transitions of each, in
order."""


@dataclass(frozen=True)
class Dataset:
    """Transitions in the order in which they happened, one episode after the other.

    Attributes:
        observations: [N, n] float32, physical units.
        actions: [N, m] float32, as executed, with exploration noise.
        teacher_actions: [N, m] float32, the teacher's actions for these observations without noise.
        rewards: [N] float32.
        next_observations: [N, n] float32.
        terminations: [N] bool, whether the episode ended in a terminal state.
        truncations: [N] bool, whether the episode was cut, so that the next state still has a
            value.
        metadata: JSON: signals, environment, teacher {parameters, sha256}, seed, config …; with
            teacher_values also `values`, their kind: q_values or logits.
        teacher_values: [N, choices] float32, the teacher's value for each choice, if actions are
            choices and the values are known.
    """

    observations: Array
    actions: Array
    teacher_actions: Array
    rewards: Array
    next_observations: Array
    terminations: Flags
    truncations: Flags
    metadata: dict[str, Any]
    teacher_values: Array | None = None

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def signals(self) -> dict[str, Any]:
        """Names, units, scales and limits of observations and actions."""
        signals: dict[str, Any] = self.metadata["signals"]
        return signals

    @property
    def choices(self) -> Choices | None:
        """Return the choices that an action is one of; None: actions are continuous."""
        return choices_of(self.signals)

    @property
    def label_size(self) -> int:
        """The number of outputs that a student has: one per action, or one per choice of all
        heads."""
        if heads := heads_of(self.signals):
            return sum(heads)
        return self.actions.shape[1] if self.choices is None else self.choices.count

    @property
    def has_choices(self) -> bool:
        """Return whether an action is one of a few choices, or one choice per task."""
        return self.choices is not None or bool(heads_of(self.signals))

    def choice_values(self) -> Array:
        """Return the teacher's value for each choice, [N, choices]; if the values are not known, 1
        for its choice and 0 for the others."""
        if self.teacher_values is not None:
            return self.teacher_values
        assert self.choices is not None
        numbers = np.arange(self.choices.count) + self.choices.first
        return np.asarray(self.teacher_actions == numbers, np.float32)

    def digest(self) -> str:
        """SHA-256 of the arrays."""
        digest = hashlib.sha256()
        for name in self.arrays:
            digest.update(np.ascontiguousarray(getattr(self, name)).data)
        return digest.hexdigest()

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that this dataset has."""
        return ARRAYS if self.teacher_values is None else (*ARRAYS, "teacher_values")

    def repeated(self, rows: NDArray[np.int64], count: int) -> Dataset:
        """Return the dataset with `count` more transitions, which repeat these rows."""
        if not len(rows) or count <= 0:
            return self
        return self.taken(np.concatenate([np.arange(len(self)), np.resize(rows, count)]))

    def taken(self, rows: NDArray[np.int64]) -> Dataset:
        """Return these transitions, in this order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.arrays})

    def first(self, count: int) -> Dataset:
        """Return the first `count` transitions; an episode that this cuts is truncated there."""
        cut = {name: getattr(self, name)[:count] for name in self.arrays}
        cut["truncations"] = cut["truncations"].copy()
        cut["truncations"][-1] |= not cut["terminations"][-1]
        return replace(self, **cut)


ARRAYS = tuple(
    field.name for field in fields(Dataset) if field.name not in ("metadata", "teacher_values")
)
"""The arrays that every dataset has."""


def best_choices(values: NDArray[Any], signals: dict[str, Any]) -> Array:
    """Return the choice with the greatest value of each row, the first of equals: [N, 1]."""
    choices = choices_of(signals)
    first = 0 if choices is None else choices.first
    return np.asarray(values.argmax(axis=1)[:, None] + first, np.float32)


def joined(datasets: list[Dataset]) -> Dataset:
    """Join datasets; the metadata is that of the first. One alone is returned as it is."""
    if len(datasets) == 1:
        return datasets[0]
    names = datasets[0].arrays
    arrays = {name: np.concatenate([getattr(d, name) for d in datasets]) for name in names}
    return Dataset(**arrays, metadata=datasets[0].metadata)


def checked(dataset: Dataset, path: Path) -> Dataset:
    """Return the dataset with its arrays converted to the right types.

    Raises:
        UserError: shapes do not fit, a value is NaN, or an action is outside its bounds.
    """
    size, action_size = _sizes(dataset, path)
    count = len(dataset.observations)
    shapes = {
        "observations": (count, size),
        "next_observations": (count, size),
        "actions": (count, action_size),
        "teacher_actions": (count, action_size),
        "rewards": (count,),
        "terminations": (count,),
        "truncations": (count,),
    }
    choices = choices_of(dataset.signals)
    if choices is not None and dataset.teacher_values is not None:
        shapes["teacher_values"] = (count, choices.count)
    elif dataset.teacher_values is not None:
        raise UserError(f"{path} has values of choices, but its actions are real numbers")
    in_file = {"teacher_values": dataset.metadata.get(VALUES_KIND)}
    arrays = {
        name: _array(path, in_file.get(name) or name, getattr(dataset, name), shapes[name])
        for name in dataset.arrays
    }
    _check_bounds(path, arrays, dataset.signals)
    if choices is not None:
        _check_whole(path, arrays)
        _check_best(path, arrays, choices, in_file)
    return Dataset(**arrays, metadata=dataset.metadata)


def _sizes(dataset: Dataset, path: Path) -> tuple[int, int]:
    check_signals(dataset.signals, f"{path}: signals")
    offset, _, action_offset, *_ = normaliser(dataset.signals)
    if len(dataset.observations) == 0:
        raise UserError(f"{path} has no transitions; collect some")
    return offset.size, action_offset.size


def _array(path: Path, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape:
        if len(shape) == TABLE and array.ndim != TABLE:
            raise UserError(f"{path}: `{name}` has shape {array.shape}; {IN_ROWS}")
        raise UserError(f"{path}: `{name}` has shape {array.shape}; the others require {shape}")
    if shape[1:] == () and name in ("terminations", "truncations"):
        if array.dtype.kind not in "bu":
            raise UserError(f"{path}: `{name}` is {array.dtype}; it must be bool")
        return array.astype(np.bool_, copy=False)
    if array.dtype.kind not in "fiu":
        raise UserError(f"{path}: `{name}` is {array.dtype}; it must be float32")
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is told
        values = array.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        place = tuple(np.argwhere(~np.isfinite(values))[0])
        row, given = int(place[0]), array[place]
        if np.isfinite(given):
            raise UserError(
                f"{path}: `{name}` has {given:g} in row {row}, beyond float32; scale or remove it"
            )
        mend = "remove it"
        if name in VALUES and not np.isnan(values).any() and not (values == np.inf).any():
            mend = "give choices that are masked a value far below the others, such as -1e8"
        raise UserError(f"{path}: `{name}` has NaN or infinity, first in row {row}; {mend}")
    return values


def _check_whole(path: Path, arrays: dict[str, Any]) -> None:
    for name in ("actions", "teacher_actions"):
        broken = arrays[name] != np.rint(arrays[name])
        if broken.any():
            row = int(np.argwhere(broken)[0][0])
            raise UserError(
                f"{path}: `{name}` has {arrays[name][row, 0]:g} in row {row}; a choice is a whole "
                "number"
            )


def _check_best(
    path: Path, arrays: dict[str, Any], choices: Choices, in_file: dict[str, Any]
) -> None:
    """Check that the teacher's choices are those that it values most, but for rounding."""
    values = arrays.get("teacher_values")
    if values is None:
        return
    rows, best = np.arange(len(values)), values.max(axis=1)
    chosen = values[rows, arrays["teacher_actions"][:, 0].astype(np.int64) - choices.first]
    # In float64, since a difference of float32 may overflow.
    less = best.astype(np.float64) - chosen.astype(np.float64)
    # Beside these two alone: a masked choice may have the least number there is.
    size = np.maximum(np.abs(best), np.abs(chosen)).astype(np.float64)
    other = less > TIE * np.maximum(1, size)
    if other.any():
        name = in_file["teacher_values"]
        raise UserError(
            f"{path}: in {int(other.sum())} of {len(values)} rows, first in row "
            f"{int(other.argmax())}, `teacher_actions` is not the choice with the greatest of "
            f"`{name}`; leave `teacher_actions` out, or order the columns of `{name}` as the "
            "choices are numbered"
        )


def _check_bounds(path: Path, arrays: dict[str, Any], signals: dict[str, Any]) -> None:
    *_, low, high = normaliser(signals)
    width = high.astype(np.float64) - low
    slack = 1e-5 * np.where(np.isfinite(width), width, 1)
    for name in ("actions", "teacher_actions"):
        outside = (arrays[name] < low - slack) | (arrays[name] > high + slack)
        if outside.any():
            row, column = np.argwhere(outside)[0]
            value = arrays[name][row, column]
            raise UserError(
                f"{path}: `{name}` has {value:g} in row {row}, column {column}; "
                f"its bounds are {low[column]:g} to {high[column]:g}"
            )
