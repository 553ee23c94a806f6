"""The command line as a user meets it: help, mistakes in one line, results for machines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from sparsectl import cli
from sparsectl.common.errors import UserError
from tests.tools import need

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sparsectl", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
    )


def test_help_lists_every_command() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for name in cli.COMMANDS:
        assert name in shown.stdout


def test_version() -> None:
    shown = run("--version")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == f"sparsectl {metadata.version('sparsectl')}\n"


def test_help_imports_nothing_heavy() -> None:
    """What makes `--help` slow is an import, so the imports are what is watched."""
    code = (
        "import sys, sparsectl.cli\n"
        "heavy = {'torch', 'mujoco', 'onnx', 'onnxruntime', 'gymnasium', 'scipy', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_commands_help_answers(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run([name, "--help"])
    assert not ended.value.code
    assert f"usage: sparsectl {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_commands_function_is_there(name: str) -> None:
    assert callable(cli.load(cli.COMMANDS[name].function))


def test_a_command_is_a_file_of_its_name() -> None:
    files = {path.stem for path in (ROOT / "commands").glob("[!_]*.py")}
    assert files == set(cli.COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "--policy", "missing.onnx"], "missing.onnx"),
        (["evaluate", "--policy", "README.md"], "README.md"),
        (["collect", "--teacher", "missing.zip", "--env", "Pendulum-v1"], "missing.zip"),
        (["distill", "--dataset", "missing.npz"], "missing.npz"),
        (["export", "missing.onnx"], "missing.onnx"),
        (["export", "LICENSE"], "LICENSE"),
        (["export", "missing.onnx", "--flash", "8Q"], "8Q"),
        (["build", "missing-folder"], "missing-folder"),
        (["bench", "missing-folder"], "missing-folder"),
        (["trial", "--policy", "missing-folder"], "missing-folder"),
        (["report", "missing-folder"], "missing-folder"),
        (["demo", "--rig", "seesaw", "--out", "OUT"], "seesaw"),
        (["teach", "--env", "NoSuch-v0", "--out", "OUT"], "NoSuch-v0"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    monkeypatch.chdir(ROOT)
    code = cli.run([str(out) if word == "OUT" else word for word in arguments])
    said = capsys.readouterr().err
    assert code == 2, said
    assert named in said
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith(f"sparsectl {arguments[0]}: ")
    assert not list(out.rglob("*.onnx"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate --policy x --episodes many", "--episodes takes INT, not 'many'; see "),
        ("evaluate --policy x --epsiodes 3", "perhaps you meant --episodes INT; see "),
        ("collect --env e", "it needs --teacher PATH; see `sparsectl collect --help`"),
        ("export", "it needs PATH"),
        ("teach --hidden 8 wide", "not '8 wide'"),
        ("teach --seed=x", "--seed takes INT, not 'x'"),
        ("distill --dataset d --preset slow", "--preset is 'slow'; use one of auto, paper, "),
        ("distill --dataset d --loss l2", "--loss is 'l2'; use one of kl, mse, nll; see "),
        ("distill --dataset d --table-bytes 2Q", "'2Q' is not a size"),
        ("trial --seconds", "missing value for argument '--seconds'"),
        ("collect --teacher t --env e --seed 1 2", "2 has no option before it; write one; see"),
        ("evaluate --policy p --task 1 --workers 1", "unrecognized options: --workers, 1; see"),
        ("evaluate s.onnx --episodes 3", "s.onnx has no option before it; write one, perhaps"),
        ("evaluate s.onnx --episodes 3", "perhaps --policy s.onnx; see `sparsectl evaluate"),
        ("teach CartPole-v1 --seed 1", "perhaps --env CartPole-v1; see"),
        ("evaluate --polcy x", "perhaps you meant --policy PATH; see"),
    ],
)
def test_a_word_that_is_not_understood_gets_one_line(words: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        cli.parse(words.split())
    assert "\n" not in str(caught.value)


def test_sizes_are_given_as_people_write_them() -> None:
    assert cli.parse("distill --dataset d --table-bytes 2K".split()).table_bytes == 2048


def test_an_unknown_command_exits_with_2() -> None:
    result = run("expart")
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("sparsectl: unrecognized options: expart; perhaps you meant export")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """As `sparsectl doctor --json | true`: whoever reads is gone before the first byte."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        command = [sys.executable, "-m", "sparsectl", "doctor", "--no-boards", "--json"]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_mistake_ends_the_process_with_2() -> None:
    result = run("evaluate", "--policy", "missing.onnx")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("sparsectl evaluate: ") and "missing.onnx" in line


def test_debug_shows_the_traceback() -> None:
    result = run("evaluate", "--policy", "missing.onnx", "--debug")
    assert "Traceback" in result.stderr


def test_json_is_json() -> None:
    need("gcc")
    result = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["numpy"]["found"]
    assert checks["board host"]["found"]
