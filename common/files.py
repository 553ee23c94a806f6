"""Write files completely or not at all, and read files of limited size."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.interruption import signals_held_back

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Error numbers of a write that failed because the disk or the quota is full, or may be."""

FULL_DISK: Final = (
    "the disk is full, that of the output or of temporary files; free disk space, or give another "
    "--out or TMPDIR"
)

JSON_LIMIT: Final = 64 * 2**20
"""The largest JSON file that is read, in bytes; the returns of 100,000 episodes take 2 MB."""


def says_full(text: str) -> bool:
    """Return whether another program, such as a compiler, says that it met a full disk."""
    return any(os.strerror(number) in text for number in (errno.ENOSPC, errno.EDQUOT))


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` when the block ends without
    an error.

    If the block raises, the temporary file and the folders that were made for it are deleted, so
    that a reader never meets half a file.

    Raises:
        UserError: the folder cannot be made or written, `path` is a folder or a device, or the
            disk is full.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file in it")
    if path.exists() and not path.is_file():  # a device would be replaced by the file
        raise UserError(f"cannot write {path}: it is not an ordinary file; name one that is")
    missing = missing_folders(path.parent)
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
        remove_empty(missing)
        if isinstance(error, OSError) and error.errno in FULL:
            raise UserError(unwritable(path, error)) from error
        raise


def _temporary_file(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem[:100]}-", suffix=path.suffix
        )
    except OSError as error:
        raise UserError(unwritable(path, error)) from error
    os.close(handle)
    return Path(name)


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`, on the same file system, and delete it when the block
    ends.

    Parent folders that were made for it are deleted too, unless the block leaves something in them.

    Raises:
        UserError: the parent of `out` cannot be made or written.
    """
    missing = missing_folders(out.parent)
    folder: Path | None = None
    try:
        with signals_held_back():
            folder = _temporary_folder(out)
        yield folder
    finally:
        with signals_held_back():
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            remove_empty(missing)


def _temporary_folder(out: Path) -> Path:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise UserError(unwritable(out, error)) from error


def check_writable(folder: Path, option: str = "--out") -> None:
    """Check that files can be written in a folder, which need not exist yet; leave nothing behind.

    Raises:
        UserError: they cannot; the message names the option with which to choose another folder.
    """
    missing = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise UserError(unwritable(folder, error, option)) from error
    finally:
        remove_empty(missing)


def room_at(folder: Path) -> int:
    """Return the free bytes on the disk that holds a folder, or would hold it."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def check_file(path: Path, option: str = "--out") -> None:
    """Check that a file can be written, which may exist already.

    Raises:
        UserError: it cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{option} is {path}, which is a folder; name a file")
    if path.exists() and not path.is_file():  # a pipe or a device: opening it may never end
        raise UserError(f"{option} is {path}, which is not an ordinary file; name one that is")
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(unwritable(path, PermissionError(errno.EACCES, "Permission denied")))
    check_writable(path.parent, option)


def unwritable(path: Path, error: OSError, option: str = "--out") -> str:
    """Explain in one line why a path cannot be written and what to do about it."""
    in_the_way = next((p for p in (path, *path.parents) if p.is_file()), None)
    if in_the_way is not None and isinstance(error, (FileExistsError, NotADirectoryError)):
        return f"cannot write in {path}: {in_the_way} is a file; give another {option}"
    mend = "free disk space" if error.errno in FULL else "name a folder that you can write to"
    return f"cannot write {path}: {error.strerror or error}; {mend}, or give another {option}"


def missing_folders(folder: Path) -> list[Path]:
    """Return the folders that `mkdir` would have to make, the deepest first."""
    places = (folder, *folder.parents)
    return list(itertools.takewhile(lambda place: not os.path.lexists(place), places))


def remove_empty(folders: list[Path]) -> None:
    """Remove those of the folders that are empty."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing, over `JSON_LIMIT` bytes or not JSON, which has no NaN.
    """
    try:
        text = read_whole(path, JSON_LIMIT, "make it again or remove it")
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}; make it again or remove it") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply; make it again or remove it") from error


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def read_whole(path: Path, most: int, mend: str, signature: bytes = b"") -> bytes:
    """Read a file of at most `most` bytes.

    Args:
        path: must be an ordinary file; reading a pipe or a device might never end.
        most: the largest size that is accepted, in bytes.
        mend: what the user can do about a wrong file, for the message.
        signature: the bytes that a file of the expected kind starts with. Of a file that starts
            otherwise, only as many bytes are read and returned.

    Raises:
        UserError: the file is missing, not an ordinary file, too large, or cannot be read.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "no ordinary file"
            raise UserError(f"cannot read {path}: it is {kind}; {mend}")
        with path.open("rb") as file:
            start = file.read(len(signature))
            if start != signature:
                return start
            if about.st_size > most:
                raise UserError(f"{path} has {about.st_size:,} bytes, over {most:,}; {mend}")
            return start + file.read()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; {mend}") from error
