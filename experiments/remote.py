"""Run one command on a worker of a cluster, in its own folder; inputs and outputs are bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sparsectl.common.scratch import scratch_folder
from sparsectl.experiments.processes import EXIT_LATE, NO_LIMIT_S

Files = Mapping[str, bytes]
"""Contents by path relative to a folder; of a single file the path is ""."""

LOG_BYTES: Final = 2**20
"""Number of bytes at the end of a log that are sent back."""


def run_remote(
    words: Sequence[str],
    made: str,
    left_behind: Sequence[str],
    limit_s: float,
    places: Sequence[str],
    *inputs: Files,
) -> tuple[int, bytes, bytes, float, dict[str, bytes]]:
    """Run a command whose paths are relative.

    Args:
        words: the command line.
        made: the folder that it writes to.
        left_behind: files in it that are not sent back.
        limit_s: time after which the command is killed.
        places: path of each input …
        inputs: … and its files.

    Returns:
        Exit code, standard output, the end of the log, seconds, and the files that it wrote, by
        their paths in `made`.
    """
    started = time.monotonic()
    with scratch_folder("task") as scratch:
        for place, files in zip(places, inputs, strict=True):
            _write(scratch / place, files)
        folder = scratch / made
        folder.mkdir(parents=True, exist_ok=True)
        log_path = scratch / "log"
        with log_path.open("wb") as log:
            # The child ends when its standard input closes, which it does if this worker is killed.
            process = subprocess.Popen(
                [sys.executable, "-m", "sparsectl.experiments.child", *words, "--json"],
                cwd=scratch,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": _path()},
            )
            limit = None if limit_s == NO_LIMIT_S else limit_s
            try:
                output, code = _whole_output(process, limit), process.wait()
            except subprocess.TimeoutExpired:
                output, code = b"", EXIT_LATE
            finally:
                process.kill()
        files = {} if code else _read(folder, left_behind)
        return code, output, log_path.read_bytes()[-LOG_BYTES:], time.monotonic() - started, files


def _whole_output(process: subprocess.Popen[bytes], limit: float | None) -> bytes:
    """Return what a process writes until it ends, with its standard input open.

    Raises:
        subprocess.TimeoutExpired: it does not end within `limit` seconds.
    """
    assert process.stdout is not None
    held, process.stdin = process.stdin, None  # communicate would close it
    try:
        return process.communicate(timeout=limit)[0]
    finally:
        process.stdin = held


def _path() -> str:
    """Return the import path of this worker's code, which may be a copy sent to the cluster."""
    import sparsectl

    here = str(Path(sparsectl.__file__).absolute().parent.parent)
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))


def _write(place: Path, files: Files) -> None:
    for relative, content in files.items():
        path = place / relative if relative else place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _read(folder: Path, left_behind: Sequence[str]) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] not in left_behind:
            found[str(relative)] = path.read_bytes()
    return found
