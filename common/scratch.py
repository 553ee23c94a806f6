"""Make temporary folders that do not pile up when processes are killed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import room_at, unwritable
from sparsectl.common.interruption import signals_held_back

_START: Final = "sparsectl-tmp-"
_NAME: Final = re.compile(rf"{_START}[a-z]+-[a-z0-9_]{{8}}")

LITTLE: Final = 2**20
"""Bytes of a disk that has no more than these is what a write has found full."""


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """Yield a new temporary folder, and delete it with all that is in it when the block ends.

    A process that is killed leaves its folder behind. Each folder is locked for as long as the
    process that made it lives, and every call deletes the folders whose lock is free.

    Args:
        kind: what the folder is for, in lower-case letters; it becomes part of the folder's name.

    Raises:
        UserError: its disk is full.
        OSError: there is no folder for temporary files, or it cannot be written.
    """
    _remove_abandoned()
    folder: Path | None = None
    descriptor: int | None = None
    try:
        with signals_held_back():
            folder = Path(tempfile.mkdtemp(prefix="sparsectl-new-"))
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            _locks(descriptor)
            # Only now does it have a name that other processes look for.
            folder = folder.rename(
                folder.with_name(f"{_START}{kind}-{folder.name.rpartition('-')[2]}")
            )
        yield folder
    except OSError as error:  # a write that finds no room does not say where
        if error.errno != errno.ENOSPC or error.filename is not None or _has_room():
            raise
        raise UserError(
            unwritable(folder or Path(tempfile.gettempdir()), error, "TMPDIR")
        ) from error
    finally:
        with signals_held_back():
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


def _has_room() -> bool:
    return room_at(Path(tempfile.gettempdir())) > LITTLE


def _remove_abandoned() -> None:
    """Delete this user's scratch folders whose processes have ended without doing so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_START}*"):
        if not _NAME.fullmatch(folder.name):
            continue
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another process has deleted it, or it belongs to another user
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid() and _locks(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _locks(descriptor: int) -> bool:
    """Lock a folder until its descriptor is closed, and return whether that was possible.

    On a file system without locks it never is, so that nobody's folder is deleted there."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
