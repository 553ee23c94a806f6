"""Wherever a command cannot write, it says so in one line, and leaves no folder and no file.

What each subcommand writes to is read from its config, so one that is added is tried as well.
"""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sparsectl import cli
from tests.bad_input.asked import WRITTEN, Asked, asked_by, words

WRITES = [
    (command, asked)
    for command in cli.COMMANDS
    for asked in asked_by(command)
    if asked.name in WRITTEN and asked.option
]
IDS = [f"{command} {asked.option}" for command, asked in WRITES]


def bad_places(folder: Path) -> dict[str, Path]:
    """Places where nothing can be written, by what is wrong with them."""
    file = folder / "file"
    file.write_text("theirs")
    (folder / "full").mkdir(mode=0o555)
    (folder / "circle").symlink_to(folder / "circle")
    return {
        "a file in the way": file / "below" / "made",
        "no such place": Path("/proc/zz/made"),
        "a name too long": folder / ("n" * 300) / "made",
        "a link to itself": folder / "circle" / "made",
        "a device": Path("/dev/null/made"),
        "not to be written": Path("/sys/zz/made")
        if os.geteuid() == 0
        else folder / "full" / "made",
    }


def left_in(folder: Path) -> list[tuple[str, int]]:
    """All that is in the folder, with its kind."""
    return sorted(
        (str(p.relative_to(folder)), stat.S_IFMT(p.lstat().st_mode)) for p in folder.rglob("*")
    )


def ending(
    arguments: list[str], capsys: pytest.CaptureFixture[str], named: list[str]
) -> tuple[str, str]:
    """What is wrong with how the command ended, and its line."""
    code = cli.run(arguments)
    said = capsys.readouterr().err
    own = [line for line in said.splitlines() if line.startswith(f"sparsectl {arguments[0]}: ")]
    last = (said.strip().splitlines() or [""])[-1]
    faults = {
        f"exit code {code}": code != 2,
        f"{len(own)} lines of its own": len(own) != 1 or last != own[-1],
        "a traceback": "Traceback" in said,
        "a defect": "a defect of sparsectl" in said,
        "no place named": not any(name in last for name in named),
        "no mend": ";" not in last,
    }
    return ", ".join(fault for fault, is_so in faults.items() if is_so), last


@pytest.mark.parametrize(("command", "asked"), WRITES, ids=IDS)
def test_a_place_that_takes_no_result(
    command: str,
    asked: Asked,
    good: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.load(cli.COMMANDS[command].function)
    places = bad_places(tmp_path)
    before, wrong = left_in(tmp_path), []
    for kind, place in places.items():
        arguments = words(command, asked, [str(place)], good, tmp_path / "out")
        fault, line = ending(arguments, capsys, [str(place), str(place.parent)])
        if left_in(tmp_path) != before:
            fault += ", something left"
        if fault:
            wrong.append(f"{' '.join(arguments)[:400]} ({kind}): {fault}: {line[:400]}")
    assert not wrong, "\n".join(wrong)


@contextmanager
def no_room(limit: int) -> Iterator[None]:
    """No file may grow beyond the limit, as the system has it of a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("command", "asked"), WRITES, ids=IDS)
def test_a_disk_without_room(
    command: str,
    asked: Asked,
    good: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.load(cli.COMMANDS[command].function)
    wrong = []
    for limit in (0, 1000):
        place = tmp_path / "new" / "made"
        arguments = words(command, asked, [str(place)], good, tmp_path / "out")
        with no_room(limit):
            fault, line = ending(arguments, capsys, [str(tmp_path), "room", "large"])
        if any(path.is_file() for path in tmp_path.rglob("*")):
            fault += ", a file left"
        if fault:
            wrong.append(f"{' '.join(arguments)[:400]} ({limit}): {fault}: {line[:400]}")
    assert not wrong, "\n".join(wrong)
