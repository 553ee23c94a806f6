"""Whatever a command is given, it ends in one line that says what is wrong, and leaves nothing.

What each subcommand takes is read from its config, so one that is added is tried as well.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsectl import cli
from tests.bad_input.asked import Asked, asked_by, words
from tests.bad_input.spoiled import make_spoiled

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300
"""What takes longer is taken for a hang."""
MEMORY_MB = 600
"""That a refusal may take, most of which are libraries that it loads."""

ANY_WORDS = {
    ("doctor", "skip"),
    ("doctor", "ask"),
    ("export", "prefix"),
    ("flash", "port"),
}
"""Patterns, addresses and names, for which there is nothing to be wrong before they are used."""
LIMITS = {"flash", "ram", "table_bytes", "error"}
"""Any size of these is one."""
JOURNALS = {"report", "convert", "replay", "identify"}
"""They take journals that were cut: a crash leaves such."""


@pytest.fixture(scope="module")
def spoiled(good: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    names = ("policy", "model", "journal", "dataset", "teacher")
    folder = tmp_path_factory.mktemp("spoiled") / "files"
    return make_spoiled(folder, {name: Path(good[name]) for name in names})


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """End a test that waits for ever, on a pipe that nobody writes to."""

    def end(number: int, frame: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def peak_mb() -> int:
    """The greatest memory of this process since it was last asked, in MB."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found.group(1)) // 1024


def complaint(
    arguments: list[str], scratch: Path, capsys: pytest.CaptureFixture[str], named: list[str]
) -> str:
    """What is wrong with how the command ends; empty: it refused as it should."""
    before = sorted(scratch.rglob("*"))
    peak_mb()
    memory = peak_mb()
    code = cli.run(arguments)
    memory = peak_mb() - memory
    said = capsys.readouterr().err
    lines = said.strip().splitlines() or [""]
    last = lines[-1]
    faults = {
        f"exit code {code}": code != 2,
        "no line of its own": not last.startswith(f"sparsectl {arguments[0]}: "),
        "a traceback": "Traceback" in said,
        "out of memory": "memory of this machine" in last,
        "nothing named": not any(name in last for name in named),
        f"{len(last)} characters": len(last) > 1500,
        "something left": sorted(scratch.rglob("*")) != before,
        f"{memory} MB": memory > MEMORY_MB,
    }
    wrong = [fault for fault, is_so in faults.items() if is_so]
    return f"{' '.join(arguments)[:300]}: {', '.join(wrong)}: {last[:300]}" if wrong else ""


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_files_that_are_something_else(
    command: str,
    good: dict[str, str],
    spoiled: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.load(cli.COMMANDS[command].function)
    wrong = []
    for asked in asked_by(command):
        if not asked.is_read or (command, asked.name) == ("trial", "compare"):
            continue
        for kind, path in spoiled.items():
            if command in JOURNALS and "journal" in kind:
                continue
            if asked.name == "critics" and kind in ("missing", "circle"):
                continue  # they are made there
            values = [str(path)]
            if asked.name == "compare":
                values.append(good["teacher"])
            arguments = words(command, asked, values, good, tmp_path)
            named = [str(path), path.name[:50], asked.option or " "]
            wrong.append(complaint(arguments, tmp_path, capsys, named))
    assert not (reported := "\n".join(filter(None, wrong))), reported


NO_NUMBERS = {"", "x", "1.5"}
"""What the parser refuses alike for every whole or real number, whichever setting it is for."""


def bad_values(asked: Asked) -> list[str]:
    """Words that the setting cannot be."""
    if "bool" in asked.kind or "Path" in asked.kind:
        return []
    if asked.name in LIMITS:
        return ["-1", "nan", "8Q", ""]
    if "Pair" in asked.kind:
        return ["", "1", "nan,1", "1,-1", "-inf,inf", "1,2,3"]
    if "Literal" in asked.kind:
        return ["", "nosuch"]
    if asked.name == "log_alpha_threshold":
        return ["nan", "inf", "1e300", "", "x"]
    if "float" in asked.kind:
        return ["nan", "inf", "-inf", "-1", "1e300", "", "x"]
    if asked.name == "seed":  # of any size, where a generator takes it
        return ["-1", "nan", "1.5", "", "x"]
    if "int" in asked.kind:
        return ["-1", "nan", "1.5", "9" * 30, "", "x"]
    return ["", "nosuch", "n" * 5000, "/dev/null", "a\nb", "{", "%s%n", "\x1b[31m"]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_values_out_of_range(
    command: str, good: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.load(cli.COMMANDS[command].function)
    wrong, kinds = [], set()
    for asked in asked_by(command):
        if (command, asked.name) in ANY_WORDS:
            continue
        is_known = asked.kind in kinds and re.search("int|float", asked.kind)
        kinds.add(asked.kind)
        for value in bad_values(asked):
            if is_known and value in NO_NUMBERS:
                continue
            arguments = words(command, asked, [value], good, tmp_path)
            named = [asked.name, asked.option.strip("-") or " ", value[:50]]
            named.append(asked.name.split("_")[-1])  # of a former name, what is left of it
            wrong.append(complaint(arguments, tmp_path, capsys, named))
    assert not (reported := "\n".join(filter(None, wrong))), reported


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_typo_in_an_option(
    command: str, good: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of those at the top, and one of each nested group."""
    groups = {
        asked.option.rpartition(".")[0]: asked
        for asked in asked_by(command)
        if asked.option and not asked.is_required and "bool" not in asked.kind
    }
    wrong = []
    for asked in groups.values():
        typo = asked.option[:-1] + "qx"
        arguments = words(command, asked, ["1"], good, tmp_path)
        spelled = [word.replace(asked.option, typo) for word in arguments]
        wrong.append(complaint(spelled, tmp_path, capsys, [typo]))
    assert not (reported := "\n".join(filter(None, wrong))), reported
