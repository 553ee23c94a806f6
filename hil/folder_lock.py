"""A folder of results for one process alone: two trials in one would mix their files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sparsectl.common.errors import UserError


@contextmanager
def locked_folder(folder: Path) -> Iterator[bool]:
    """Have `folder` until the context ends, or this process does; whether it was made here.

    The folder itself is locked, so no file is left behind, and a kill leaves no stale lock.

    Raises:
        UserError: another process has it, or it cannot be made.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(
            f"cannot use the folder {folder}: {error.strerror}; name another by --out"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UserError(
            f"another trial is writing to {folder}; wait for its end, or name another folder by "
            "--out"
        ) from error
    try:
        yield is_new
    finally:
        os.close(descriptor)
