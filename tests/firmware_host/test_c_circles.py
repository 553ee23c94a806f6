"""No circle among the C files of a firmware: neither of includes nor of calls."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import BOARDS, Board, find_board
from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.boards.host import HostBoard
from sparsectl.firmware_host.compiler import find_compiler
from sparsectl.firmware_host.config_header import config_header
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.firmware_host.policy_library import CORE, LIBRARY_PARTS
from tests.firmware_host.core_library import RIG
from tests.firmware_host.small_policy import small_policy
from tests.tools import need

Needs = dict[str, set[str]]
"""A file to those that it includes or calls."""

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
ALIKE = {"nucleo-f446re", "arduino-mega2560"}
"""Boards of the same files as another of the registry."""
PROGRAMS = (*(name for name in BOARDS if name not in ALIKE), "replay", "library")


def circle(needs: Needs) -> list[str]:
    """The files of a circle, in order; empty where there is none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def board_of(program: str) -> Board:
    host = find_board("host")
    assert isinstance(host, HostBoard)
    if program == "replay":
        return replace(host, port=FIRMWARE / "ports" / "replay")
    return host if program == "library" else find_board(program)


def sources_of(program: str) -> list[Path]:
    """The C of a firmware; the library takes a part of the core."""
    core = FIRMWARE / "core"
    if program == "library":
        parts = [FIRMWARE / "library" / f"{part}.c" for part in LIBRARY_PARTS]
        return [*(core / f"{part}.c" for part in CORE), *parts]
    ported = [path for path in board_of(program).sources if path.suffix == ".c"]
    return [*sorted(core.glob("*.c")), *ported]


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert {"a", "b"} <= set(circle({"a": {"b"}, "b": {"a"}}))


def test_no_circle_of_includes() -> None:
    """A file and the header of its name count as one."""
    needs: Needs = {}
    for path in sorted(FIRMWARE.rglob("*.[ch]")):
        own = f"{path.parent.name}/{path.stem}"
        for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            for header in FIRMWARE.rglob(name):
                other = f"{header.parent.name}/{header.stem}"
                needs.setdefault(own, set()).update({other} - {own})
    assert len(needs) > 30
    assert circle(needs) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_circle_of_calls(program: str, tmp_path: Path) -> None:
    """By the symbols that each object defines and wants; the policy's own are nobody's."""
    board = board_of(program)
    need(board.compilers[0])
    compiler = find_compiler(board)
    policy = small_policy().write(tmp_path / "policy")
    (tmp_path / "firmware_config.h").write_text(
        config_header(RIG, read_policy_facts(policy), board)
    )
    folders = (tmp_path, policy, FIRMWARE / "core", FIRMWARE, *board.includes)
    defines: dict[str, str] = {}
    wants: Needs = {}
    (tmp_path / "objects").mkdir()
    sources = sources_of(program)
    assert len({source.stem for source in sources}) == len(sources)
    command = [compiler, *board.flags, "-O0", "-g0", "-c", *(f"-I{folder}" for folder in folders)]
    subprocess.run([*command, *map(str, sources)], check=True, cwd=tmp_path / "objects")
    for source in sources:
        written = tmp_path / "objects" / f"{source.stem}.o"
        answer = subprocess.run(["nm", "-P", "-g", str(written)], capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        for name, kind, *_ in map(str.split, answer.stdout.splitlines()):
            if kind in "Uwv":
                wants.setdefault(source.stem, set()).add(name)
            elif kind not in "WV" or name not in defines:  # a board's own takes a default's place
                defines[name] = source.stem
    calls = {
        file: {defines[name] for name in names if name in defines} - {file}
        for file, names in wants.items()
    }
    assert len(calls) > 3
    assert circle(calls) == []
