"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from common.errors import UserError
from common.interruption import signals_held_back

_DISK_FAILED: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its name when the block ends without an error.

    The temporary file is deleted when the block raises, so a reader never meets half a file.

    Raises:
        UserError: the folder cannot be made or written, `path` is a folder, or the disk is full.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file in it")
    temporary: Path | None = None
    try:
        with signals_held_back():  # else one between the two lines would leave the file behind
            temporary = _temporary_file(path)
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files that only their owner may read
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _DISK_FAILED:
            raise UserError(f"cannot write {path}: {error.strerror}; free the disk") from error
        raise


def _temporary_file(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
        )
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; name a folder you may write"
        ) from error
    os.close(handle)
    return Path(name)


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`, on its file system, gone when the block ends in any way.

    Raises:
        UserError: the parent of `out` cannot be made or written.
    """
    folder: Path | None = None
    try:
        with signals_held_back():
            folder = _temporary_folder(out)
        yield folder
    finally:
        if folder is not None:
            with signals_held_back():
                shutil.rmtree(folder, ignore_errors=True)


def _temporary_folder(out: Path) -> Path:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise UserError(
            f"cannot write beside {out}: {error.strerror}; name a folder you may write"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}; make it again or remove it") from error
