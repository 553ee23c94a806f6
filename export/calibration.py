"""Read the observations with which fixed-point scales are calibrated."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32

KEY = "observations"
COUNT = 4000
"""The most observations that are used; of more, this many at equal distances."""
MAX_BYTES = 2**32
"""The largest unpacked size. Files are read in parts, but every row has to be checked."""
MAX_METADATA = 2**22
_PART_BYTES = 2**22
STRETCH = 500
"""The most consecutive rows that a policy with a state is run on."""

Chosen = NDArray[np.intp]
"""Indices of rows, ascending."""


def other_observations(path: Path, size: int, count: int) -> Float32:
    """Return at most `count` rows of the array "observations" that calibration did not use; if the
    file has no others, its rows.

    Raises:
        UserError: as `read_observations`.
    """

    def others(rows: int) -> Chosen:
        step = _step(rows, COUNT)
        if step == 1:
            return np.arange(0, rows, _step(rows, count))
        left = rows - _step(rows, step)
        nth = np.arange(0, left, _step(left, count))
        return nth + nth // (step - 1) + 1  # every step-th row is one by which it was calibrated

    return _read(path, size, others)


def read_sequences(
    path: Path, size: int, count: int, for_scales: bool
) -> tuple[Float32, NDArray[np.bool_]]:
    """Return stretches of consecutive rows, `count` in all or one stretch more, and before which
    rows a policy's state is reset: at the start of a stretch, and after a row at which an episode
    ended according to `terminations` or `truncations`.

    for_scales: whether to return the stretches by which fixed-point scales are chosen; otherwise
    others, if the file has any.

    Raises:
        UserError: as `read_observations`.
    """
    taken = np.zeros(0, np.intp)
    rows = 0

    def stretches(found: int) -> Chosen:
        nonlocal taken, rows
        rows, length = found, min(STRETCH, max(1, found // 2))
        slots = np.arange(found // length)
        own = slots[0 if for_scales else min(1, len(slots) - 1) :: 2]
        own = own[:: _step(len(own), max(1, -(-count // length)))]
        taken = (own[:, None] * length + np.arange(length)).reshape(-1)
        return taken

    observations = _read(path, size, stretches)
    ended = _ends(path, rows)
    resets = np.ones(len(taken), bool)
    resets[1:] = (np.diff(taken) != 1) | ended[taken[:-1]]
    return observations, resets


def _ends(path: Path, rows: int) -> NDArray[np.bool_]:
    """[rows]: whether an episode ended with the row; always False if the file does not say."""
    ended = np.zeros(rows, bool)
    with zipfile.ZipFile(path) as archive:
        for name in ("terminations", "truncations"):
            if f"{name}.npy" not in archive.namelist():
                continue
            with archive.open(f"{name}.npy") as member:
                try:
                    shape, _, dtype = _npy_head(member)
                except ValueError:
                    continue
                content = member.read(rows) if (shape, dtype) == ((rows,), np.dtype(bool)) else b""
            if len(content) == rows:
                ended |= np.frombuffer(content, np.uint8) != 0
    return ended


def recorded_in(path: Path) -> str | None:
    """Return the environment in which `collect` recorded a dataset; None if the file does not say.

    Its metadata is JSON in bytes, as `sparsectl.training.data.npz` writes it.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("metadata.npy") as member:
            shape, _, dtype = _npy_head(member)
            if dtype != np.uint8 or len(shape) != 1 or shape[0] > MAX_METADATA:
                return None
            said = json.loads(member.read(shape[0]))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, EOFError):
        return None
    environment = said.get("environment") if isinstance(said, dict) else None
    return environment if isinstance(environment, str) else None


def read_observations(path: Path, size: int) -> Float32:
    """Return at most `COUNT` rows of the array "observations", [any, size], of an .npz.

    Raises:
        UserError: the file is missing, is not an .npz with observations of this policy, or contains
            values that are not finite.
    """
    return _read(path, size, lambda rows: np.arange(0, rows, _step(rows, COUNT)))


def _step(rows: int, count: int) -> int:
    return -(-rows // count)


def _read(path: Path, size: int, choose: Callable[[int], Chosen]) -> Float32:
    """Read the rows that `choose` returns, ascending, for the number of rows in the file. The
    unpacked file is never in memory as a whole."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; give an .npz with {KEY!r}, as `collect` writes it")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{KEY}.npy") as member:
            shape, is_transposed, dtype = _head(member)
            if len(shape) != 2 or shape[1] != size or shape[0] < 1:
                raise UserError(
                    f"{path} has {KEY} of shape {list(shape)}; this policy takes [any, {size}]"
                )
            if is_transposed and len(shape) == 2 and shape[1] > 1:
                raise UserError(
                    f"{path} stores {KEY} column by column; save them with numpy.ascontiguousarray"
                )
            rows = _chosen_rows(member, shape, dtype, choose(shape[0]))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; mend that") from error
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not an .npz with an array {KEY!r}; give a dataset") from error
    if rows is None:
        raise UserError(f"{path} has {KEY} that are not finite; collect the dataset again")
    return rows


def _chosen_rows(
    member: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], chosen: Chosen
) -> Float32 | None:
    """Read the file to its end in parts and keep the chosen rows; None if a number is not
    finite."""
    kept = []
    a_row = shape[1] * dtype.itemsize
    step = max(1, _PART_BYTES // a_row)
    for start in range(0, shape[0], step):
        count = min(step, shape[0] - start)
        part = member.read(count * a_row)
        if len(part) != count * a_row:
            raise ValueError("shorter than its head says")
        with np.errstate(over="ignore"):
            rows = np.frombuffer(part, dtype).reshape(count, shape[1]).astype(np.float32)
        if not np.isfinite(rows).all():
            return None
        first, last = np.searchsorted(chosen, (start, start + count))
        kept.append(rows[chosen[first:last] - start])
    return np.concatenate(kept)


def _head(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order (whether column by column) and type of an array of plain numbers of at
    most `MAX_BYTES`.

    Raises:
        ValueError: the member is not such an array.
    """
    shape, is_transposed, dtype = _npy_head(member)
    if dtype.kind not in "fiu" or np.prod(shape, dtype=np.float64) * dtype.itemsize > MAX_BYTES:
        raise ValueError("not plain numbers of a size that can be read")
    return shape, is_transposed, dtype


def _npy_head(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_transposed, dtype = read(member)
    return shape, is_transposed, dtype
