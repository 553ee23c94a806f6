"""Lock a folder of results, so that two processes do not mix their files in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import missing_folders, remove_empty

_HELD: Final[set[tuple[int, int]]] = set()
"""Device and inode of the folders that this process has locked; a stage may lock its run's folder
again."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[bool]:
    """Lock `folder` until the context or the process ends; yield whether the folder was made here.

    The lock is on the folder itself, so there is no lock file, and a killed process leaves no stale
    lock. If the folder was made here and is empty at the end, it is removed.

    Raises:
        UserError: another process holds the lock, or the folder cannot be made.
    """
    missing = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(
            f"cannot use the folder {folder}: {error.strerror}; name another with --out"
        ) from error
    about = os.fstat(descriptor)
    identity = (about.st_dev, about.st_ino)
    is_outermost = identity not in _HELD
    try:
        if is_outermost:
            _lock(descriptor, folder)
            _HELD.add(identity)
        yield bool(missing)
    finally:
        if is_outermost:
            _HELD.discard(identity)
        os.close(descriptor)
        remove_empty(missing)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"another sparsectl is writing to {folder}; wait for it to finish, or name another "
            "folder with --out"
        ) from error
