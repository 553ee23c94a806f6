"""Transitions of a policy in an environment, as plain arrays; kept as npz or in Minari."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_path
from training.networks import Array
from training.signals import check_signals, normaliser

FORMAT = "sparsectl.dataset"
VERSION = 1
BYTES_LIMIT = 32 * 2**30
"""Unpacked size that is refused: 100 million transitions of the pendulum are 25 GB."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Dataset:
    """Transitions in the order they happened, one episode after the other.

    Attributes:
        observations: [N, n] float32, physical units.
        actions: [N, m] float32, as executed (with the noise that explored).
        teacher_actions: [N, m] float32, what the teacher does in that observation without noise.
        rewards: [N] float32.
        next_observations: [N, n] float32.
        terminations: [N] bool, the episode ended in a terminal state.
        truncations: [N] bool, the episode was cut and the state goes on being worth something.
        metadata: JSON: signals, environment, teacher {parameters, sha256}, seed, config …
    """

    observations: Array
    actions: Array
    teacher_actions: Array
    rewards: Array
    next_observations: Array
    terminations: Flags
    truncations: Flags
    metadata: dict[str, Any]

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def signals(self) -> dict[str, Any]:
        """Names, units, scales and limits of observations and actions."""
        signals: dict[str, Any] = self.metadata["signals"]
        return signals

    def digest(self) -> str:
        """SHA-256 of the arrays."""
        digest = hashlib.sha256()
        for name in ARRAYS:
            digest.update(getattr(self, name).tobytes())
        return digest.hexdigest()

    def repeated(self, rows: NDArray[np.int64], count: int) -> Dataset:
        """With `count` more transitions: those rows, over and over."""
        if not len(rows) or count <= 0:
            return self
        return self.taken(np.concatenate([np.arange(len(self)), np.resize(rows, count)]))

    def taken(self, rows: NDArray[np.int64]) -> Dataset:
        """These transitions, in this order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in ARRAYS})

    def first(self, count: int) -> Dataset:
        """The first `count` transitions; an episode that this cuts is truncated there."""
        cut = {name: getattr(self, name)[:count] for name in ARRAYS}
        cut["truncations"] = cut["truncations"].copy()
        cut["truncations"][-1] |= not cut["terminations"][-1]
        return replace(self, **cut)


ARRAYS = tuple(field.name for field in fields(Dataset) if field.name != "metadata")


def joined(datasets: list[Dataset]) -> Dataset:
    """All transitions in one dataset, with the metadata of the first."""
    arrays = {name: np.concatenate([getattr(d, name) for d in datasets]) for name in ARRAYS}
    return Dataset(**arrays, metadata=datasets[0].metadata)


def write_dataset(path: Path, dataset: Dataset) -> None:
    """Write `path` (.npz), atomically and uncompressed: loading is 50x faster than HDF5's."""
    header = json.dumps({"format": FORMAT, "version": VERSION, **dataset.metadata}, allow_nan=False)
    arrays = {name: getattr(dataset, name) for name in ARRAYS}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, metadata=np.frombuffer(header.encode(), np.uint8), **arrays)


def read_dataset(path: Path) -> Dataset:
    """Read an npz, or `minari:ID`.

    Another tool's npz may lack `teacher_actions` (the actions are taken for them) and `metadata`
    (plain signals are made, the action's bounds from the data).

    Raises:
        UserError: the file is missing, truncated or foreign, a key is missing, shapes do not fit,
            there is a NaN, or an action is outside its bounds.
    """
    if str(path).startswith("minari:"):
        from training.minari_store import read_minari

        return read_minari(str(path).removeprefix("minari:"))
    arrays = _read_arrays(path)
    metadata = _metadata(path, arrays.pop("metadata", None))
    arrays.setdefault("teacher_actions", arrays.get("actions", np.empty(0)))
    for name in ARRAYS:
        if name not in arrays:
            raise UserError(f"{path} has no array `{name}`; it needs {', '.join(ARRAYS)}")
    if "signals" not in metadata:
        metadata["signals"] = _plain_signals(arrays)
    return checked(Dataset(**{name: arrays[name] for name in ARRAYS}, metadata=metadata), path)


def checked(dataset: Dataset, path: Path) -> Dataset:
    """The dataset with its types made right.

    Raises:
        UserError: shapes do not fit, there is a NaN, or an action is outside its bounds.
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
    arrays = {name: _array(path, name, getattr(dataset, name), shapes[name]) for name in ARRAYS}
    _check_bounds(path, arrays, dataset.signals)
    return Dataset(**arrays, metadata=dataset.metadata)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise UserError(f"no dataset at {path}; make one with `sparsectl collect`")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > BYTES_LIMIT:
            raise UserError(f"{path} unpacks to {unpacked} bytes; the limit is {BYTES_LIMIT}")
        with np.load(path, allow_pickle=False) as archive:
            wanted = [name for name in (*ARRAYS, "metadata") if name in archive.files]
            return {name: archive[name] for name in wanted}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{path} is no whole npz of plain arrays ({reason}); make it anew"
        ) from error


def _metadata(path: Path, header: NDArray[Any] | None) -> dict[str, Any]:
    if header is None:
        return {"environment": None, "teacher": None}
    try:
        metadata = json.loads(header.astype(np.uint8).tobytes())
    except ValueError as error:
        raise UserError(f"{path}: its metadata is not JSON; make it again") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise UserError(f"{path}: its metadata is not of a {FORMAT}; make it again")
    if metadata.get("version") != VERSION:
        version = metadata.get("version")
        raise UserError(f"{path} has version {version}; this program reads version {VERSION}")
    check_signals(metadata.get("signals"), path)
    return metadata


def _plain_signals(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Signals of an npz that has none: bounds of ±1 where the actions fit, else the largest."""

    def signals(values: NDArray[Any], prefix: str, limit: float | None) -> list[dict[str, Any]]:
        low, scale = (None, 1.0) if limit is None else (-limit, limit)
        names = [f"{prefix}{index}" for index in range(values.shape[-1])]
        entry = {"unit": "", "scale": scale, "offset": 0.0, "low": low, "high": limit}
        return [{"name": name, **entry} for name in names]

    actions = arrays["actions"]
    largest = float(np.abs(actions).max()) if actions.size and actions.dtype.kind == "f" else 1.0
    return {
        "observation": signals(arrays["observations"], "o", None),
        "action": signals(actions, "a", max(1.0, largest) if np.isfinite(largest) else 1.0),
        "frames": 1,
        "period_s": 0.0,
        "rig": None,
    }


def _sizes(dataset: Dataset, path: Path) -> tuple[int, int]:
    check_signals(dataset.signals, path)
    offset, _, action_offset, *_ = normaliser(dataset.signals)
    if len(dataset.observations) == 0:
        raise UserError(f"{path} has no transitions; collect some")
    return offset.size, action_offset.size


def _array(path: Path, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape:
        raise UserError(f"{path}: `{name}` has shape {array.shape}; the others ask for {shape}")
    if shape[1:] == () and name in ("terminations", "truncations"):
        if array.dtype.kind not in "bu":
            raise UserError(f"{path}: `{name}` is {array.dtype}; it must be bool")
        return array.astype(np.bool_, copy=False)
    if array.dtype.kind not in "fiu":
        raise UserError(f"{path}: `{name}` is {array.dtype}; it must be float32")
    values = array.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise UserError(f"{path}: `{name}` has NaN or infinity, first in row {row}; remove it")
    return values


def _check_bounds(path: Path, arrays: dict[str, Any], signals: dict[str, Any]) -> None:
    *_, low, high = normaliser(signals)
    slack = 1e-5 * np.where(np.isfinite(high - low), high - low, 1)
    for name in ("actions", "teacher_actions"):
        outside = (arrays[name] < low - slack) | (arrays[name] > high + slack)
        if outside.any():
            row, column = np.argwhere(outside)[0]
            value = arrays[name][row, column]
            raise UserError(
                f"{path}: `{name}` has {value:g} in row {row}, column {column}; "
                f"its bounds are {low[column]:g} to {high[column]:g}"
            )
