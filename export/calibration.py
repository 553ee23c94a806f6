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
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_transposed, dtype = read(member)
    if dtype.kind not in "fiu" or np.prod(shape, dtype=np.float64) * dtype.itemsize > MAX_BYTES:
        raise ValueError("not plain numbers of a size that can be read")
    return shape, is_transposed, dtype
