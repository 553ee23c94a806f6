"""Detect whether a folder already contains the build, so that nothing has to be compiled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from sparsectl.firmware_host.boards import Board
from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.compiler import find_compiler

INPUTS: Final = "inputs"
_SOURCES: Final = (".c", ".h", ".S", ".ld")


def inputs_digest(policy: Path, board: Board, config: str, flags: Iterable[str]) -> str:
    """Return the SHA-256 of everything that a build is made from: sources, constants, flags,
    compiler.

    Args:
        policy: folder that `export` wrote.
        board: the target of the build.
        config: the text of firmware_config.h.
        flags: flags besides the board's own.

    Raises:
        UserError: the board's compiler is not installed.
    """
    compiler = Path(find_compiler(board)).resolve()
    program = compiler.stat()
    words = (config, compiler, program.st_size, program.st_mtime_ns, *board.flags, "", *flags)
    total = hashlib.sha256("\0".join(map(str, (*words, "", *board.link_flags))).encode())
    for path in _files(policy, FIRMWARE, *board.includes):
        total.update(f"\0{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def earlier_build(summary: Path, elf: Path, inputs: str) -> dict[str, Any] | None:
    """Return the summary of the build at `elf` if it was made from these inputs and is complete."""
    try:
        built = json.loads(summary.read_text(encoding="utf-8"))
        same = built.get(INPUTS) == f"{inputs} {file_digest(elf)}"
    except (OSError, ValueError, AttributeError):
        return None
    return built if same and built.get("elf") == str(elf) else None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES)
