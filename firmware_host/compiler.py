"""Run a board's C compiler and read its output; errors become one line."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import FULL_DISK, says_full
from sparsectl.common.interruption import ENDING, Terminated

if TYPE_CHECKING:
    from sparsectl.firmware_host.cores.core import ToolChain

TIMEOUT_S = 300.0
LAUNCHER: Final = "SPARSECTL_COMPILER_LAUNCHER"
"""Environment variable: the command, such as ccache, that starts the compiler of each C file."""
_LAUNCHER: ContextVar[tuple[str, ...]] = ContextVar("launcher", default=())
OUT_OF_ROOM = re.compile("not within region|overflowed|will not fit in region")
"""What linkers print about a program that exceeds the memory."""


def find_compiler(board: ToolChain) -> str:
    """Return the path of the first installed compiler of the core or board.

    Raises:
        UserError: none is installed.
    """
    for name in board.compilers:
        if path := shutil.which(name):
            return path
    raise UserError(
        f"no C compiler for the board {board.name} (tried {', '.join(board.compilers)}); "
        f"install one: apt-get install {board.compiler_package}"
    )


def compiler_in_words(board: ToolChain) -> str:
    """Return name, version and optimisation of the compiler for the core or board.

    Raises:
        UserError: there is no compiler.
    """
    path = find_compiler(board)
    command = [path, "-dumpfullversion", "-dumpversion"]  # older ones have the second alone
    answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    version = (answer.stdout.split() or ["of unknown version"])[0]
    level = next((flag for flag in reversed(board.flags) if flag.startswith("-O")), "-O0")
    return f"{Path(path).name} {version} {level}"


@contextmanager
def launched_by(*words: str) -> Iterator[None]:
    """While the block runs, start compilers and linkers through this command, which gets theirs as
    its last arguments: it drops rights before it starts them."""
    token = _LAUNCHER.set(words)
    try:
        yield
    finally:
        _LAUNCHER.reset(token)


def compile_object(
    board: ToolChain,
    source: Path,
    out: Path,
    flags: Iterable[str],
    folder: Path | None = None,
) -> None:
    """Compile one C file to an object, through the command in `LAUNCHER` if that is set.

    folder: working folder of the compiler; `source`, `out` and `flags` may be relative to it.

    Raises:
        UserError: no compiler or launcher, or it refuses; the message holds its first error.
    """
    command = [find_compiler(board), *board.flags, *flags, "-c", str(source), "-o", str(out)]
    # What confines the compiler confines it alone: a cache would have to reach its own files.
    launcher = () if _LAUNCHER.get() else _wanted_launcher()
    _run([*launcher, *command], source if folder is None else (folder / source).resolve(), folder)


def _wanted_launcher() -> tuple[str, ...]:
    words = shlex.split(os.environ.get(LAUNCHER, ""))
    if words and shutil.which(words[0]) is None:
        raise UserError(f"{LAUNCHER} names {words[0]}, which is not installed; install or unset it")
    return tuple(words)


def link(
    board: ToolChain,
    objects: Sequence[Path],
    out: Path,
    flags: Iterable[str],
    libraries: Iterable[str] = (),
) -> None:
    """Link objects, then libraries such as -lm, to an executable.

    Raises:
        UserError: no compiler, or it refuses; the message holds its first error.
    """
    command = [find_compiler(board), *board.flags, *flags, *map(str, objects), *libraries]
    command += ["-o", str(out)]
    _run(command, out)


def section_sizes(path: Path) -> dict[str, int]:
    """Return the bytes of text (including read-only data), data and bss of an object or executable.

    Raises:
        UserError: binutils' `size` is missing.
    """
    if shutil.which("size") is None:
        raise UserError("the program `size` is missing; install it: apt-get install binutils")
    answer = subprocess.run(["size", str(path)], capture_output=True, text=True, check=True)
    text, data, bss = answer.stdout.splitlines()[1].split()[:3]
    return {"text_bytes": int(text), "data_bytes": int(data), "bss_bytes": int(bss)}


def convert(board: ToolChain, elf: Path, out: Path, kind: str) -> None:
    """Write an executable as Intel hex (`kind` hex) or as raw bytes (bin).

    Raises:
        UserError: the compiler's objcopy is missing.
    """
    compiler = find_compiler(board)
    tool = compiler.removesuffix("gcc") + "objcopy"
    if shutil.which(tool) is None:
        raise UserError(f"{tool} is missing; install it: apt-get install {board.compiler_package}")
    form = {"hex": "ihex", "bin": "binary"}[kind]
    _run([tool, "-O", form, "-R", ".eeprom", str(elf), str(out)], elf)


def _run(command: list[str], subject: Path, folder: Path | None = None) -> None:
    try:
        answer = subprocess.run(
            [*_LAUNCHER.get(), *command],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{subject} takes the compiler more than {TIMEOUT_S:.0f} s; make it smaller"
        ) from error
    if -answer.returncode in (signal.SIGINT, *ENDING):  # it came to this process too, or to no one
        raise Terminated(-answer.returncode)
    if answer.returncode != 0 and says_full(answer.stderr):
        raise UserError(f"cannot compile {subject}: {FULL_DISK}")
    if answer.returncode != 0:
        raise UserError(f"{subject} does not compile: {_first_error(answer.stderr)}")


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [
        line
        for line in lines
        if re.search(r"\berror\b|undefined|multiple definition", line) or OUT_OF_ROOM.search(line)
    ]
    errors.sort(key=lambda line: "overflowed by" not in line)  # the line that has the bytes
    return (errors or lines or ["the compiler gave no reason"])[0]
