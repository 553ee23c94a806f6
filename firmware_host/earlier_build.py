"""Whether a folder holds already what a build would make: then there is nothing to compile."""

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
    """SHA-256 of all that a build is made from: sources, constants, flags, compiler.

    Args:
        policy: folder that `export` wrote.
        board: for which it is built.
        config: the text of firmware_config.h.
        flags: those beside the board's own.

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
    """The summary of the build at `elf`, where it was made from these inputs and is whole."""
    try:
        built = json.loads(summary.read_text(encoding="utf-8"))
        same = built.get(INPUTS) == f"{inputs} {file_digest(elf)}"
    except (OSError, ValueError, AttributeError):
        return None
    return built if same and built.get("elf") == str(elf) else None


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES)
