"""Observations that fixed-point scales are calibrated on."""

from __future__ import annotations

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
"""Observations that are used; of more, this many at even distances."""
MAX_BYTES = 2**32
"""Unpacked. They are read in parts, but each has to be looked at."""
_PART_BYTES = 2**22
STRETCH = 500
"""Rows that a policy with a state is run over without a gap, at most."""

Chosen = NDArray[np.intp]
"""Row numbers, ascending."""


def other_observations(path: Path, size: int, count: int) -> Float32:
    """At most `count` rows of the array "observations" by which nothing was calibrated; of a file
    without others, its rows.

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
    """Stretches of rows as they follow one another, `count` in all or a stretch more, and before
    which of them a policy's state is reset: at the start of a stretch, and after a row that the
    file's `terminations` or `truncations` say ended an episode.

    for_scales: the stretches that fixed-point scales are chosen by; otherwise others, where the
    file has any.

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
    """[rows], whether an episode ended with it; none where the file does not say."""
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


def read_observations(path: Path, size: int) -> Float32:
    """At most `COUNT` rows of the array "observations", [any, size], of an .npz.

    Raises:
        UserError: the file is missing, no .npz with observations of this policy, or not finite.
    """
    return _read(path, size, lambda rows: np.arange(0, rows, _step(rows, COUNT)))


def _step(rows: int, count: int) -> int:
    return -(-rows // count)


def _read(path: Path, size: int, choose: Callable[[int], Chosen]) -> Float32:
    """The rows that `choose` names, ascending, of as many as there are. What the file unpacks to
    is never in memory at once."""
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
                    f"{path} has {KEY} column by column; save them with numpy.ascontiguousarray"
                )
            rows = _chosen_rows(member, shape, dtype, choose(shape[0]))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} is not an .npz with an array {KEY!r}; give a dataset") from error
    if rows is None:
        raise UserError(f"{path} has {KEY} that are not finite; collect the dataset again")
    return rows


def _chosen_rows(
    member: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], chosen: Chosen
) -> Float32 | None:
    """Read to the end in parts, keeping the chosen rows; None where a number is not finite."""
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
    """Shape, whether it lies column by column, and type of an array of plain numbers no larger than
    `MAX_BYTES`.

    Raises:
        ValueError: it is something else.
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
