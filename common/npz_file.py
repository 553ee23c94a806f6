"""Read arrays of plain numbers from an npz that anyone may have made.

What a file says of itself is checked before memory is taken for it: each array's header against the
bytes that the archive has of it.
"""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""By the version of an array's file; the third is of records with names."""

DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError),  # another compression; a password
)
BROKEN_HEADER = (
    *(ValueError, TypeError, OverflowError, MemoryError, RecursionError),
    *(SyntaxError, tokenize.TokenError),  # numpy reads it as Python
)


class BadNpz(Exception):
    """The file is no npz of plain arrays; the text says why."""


def read_arrays(path: Path, wanted: Iterable[str], limit: int) -> dict[str, NDArray[Any]]:
    """Read those of the wanted arrays that the file has.

    Args:
        path: an existing file.
        wanted: names of arrays, without `.npy`; others are not read.
        limit: the most bytes that the whole archive may unpack to.

    Raises:
        BadNpz: it is damaged, no archive, unpacks to more than the limit, or an array is named
            twice, is of Python objects, or has another size than it says.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked > limit:
                raise BadNpz(f"it unpacks to {unpacked:,} bytes; the limit is {limit:,}")
            arrays = {}
            for name in wanted:
                of_name = [member for member in members if member.filename == f"{name}.npy"]
                if len(of_name) > 1:
                    raise BadNpz(f"it has {len(of_name)} arrays `{name}`")
                if of_name:
                    _check_header(archive, of_name[0], name)
                    with archive.open(of_name[0]) as file:
                        arrays[name] = npy.read_array(file, allow_pickle=False)
            return arrays
    except (*DAMAGED, ValueError) as error:
        raise BadNpz(" ".join(str(error).split())[:160] or type(error).__name__) from error


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    with archive.open(member) as file:
        try:
            version = npy.read_magic(file)
            if version not in HEADERS:
                raise BadNpz(f"`{name}` is of numpy's format {version[0]}.{version[1]}")
            shape, _, dtype = HEADERS[version](file)
            size = math.prod(shape) * dtype.itemsize
        except BROKEN_HEADER as error:
            raise BadNpz(f"the header of `{name}` is damaged") from error
        whole = all(type(length) is int and length >= 0 for length in shape)
        if dtype.hasobject:
            raise BadNpz(f"`{name}` has Python objects, which are not loaded")
        if not whole or file.tell() + size != member.file_size:
            raise BadNpz(
                f"`{name}` says that its shape is {shape} of {dtype}, which are not the "
                f"{member.file_size:,} bytes that it has"
            )
