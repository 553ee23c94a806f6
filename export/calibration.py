"""Observations that fixed-point scales are calibrated on."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from sparsectl.common.errors import UserError
from sparsectl.export.activations import Float32

KEY = "observations"
COUNT = 4000
"""Observations that are used; of more, this many at even distances."""
MAX_BYTES = 2**32


def other_observations(path: Path, size: int, count: int) -> Float32:
    """At most `count` rows of the array "observations" by which nothing was calibrated; of a file
    without others, its rows.

    Raises:
        UserError: as `read_observations`.
    """
    rows = _read(path, size)
    others = np.ones(len(rows), bool)
    others[:: _step(len(rows), COUNT)] = False
    rows = rows[others] if others.any() else rows
    return np.ascontiguousarray(rows[:: _step(len(rows), count)])


def read_observations(path: Path, size: int) -> Float32:
    """At most `COUNT` rows of the array "observations", [any, size], of an .npz.

    Raises:
        UserError: the file is missing, no .npz with observations of this policy, or not finite.
    """
    rows = _read(path, size)
    return np.ascontiguousarray(rows[:: _step(len(rows), COUNT)])


def _step(rows: int, count: int) -> int:
    return -(-rows // count)


def _read(path: Path, size: int) -> Float32:
    if not path.is_file():
        raise UserError(f"{path} does not exist; give an .npz with {KEY!r}, as `collect` writes it")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{KEY}.npy") as member:
            shape = _shape(member)
            if len(shape) != 2 or shape[1] != size or shape[0] < 1:
                raise UserError(
                    f"{path} has {KEY} of shape {list(shape)}; this policy takes [any, {size}]"
                )
        with np.load(path, allow_pickle=False) as arrays:
            rows = arrays[KEY]
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} is not an .npz with an array {KEY!r}; give a dataset") from error
    with np.errstate(over="ignore"):
        observations = np.asarray(rows, np.float32)
    if not np.isfinite(observations).all():
        raise UserError(f"{path} has {KEY} that are not finite; collect the dataset again")
    return observations


def _shape(member: IO[bytes]) -> tuple[int, ...]:
    """Of an array of plain numbers no larger than `MAX_BYTES`, from its head alone."""
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(member)
    if dtype.kind not in "fiu" or np.prod(shape, dtype=np.float64) * dtype.itemsize > MAX_BYTES:
        raise ValueError("not plain numbers of a size that can be read")
    return shape
