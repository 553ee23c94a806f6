"""However a command ends: one line, an exit code that says which way, nothing half made left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sparsectl import cli
from sparsectl.common.errors import UserError
from sparsectl.common.interruption import (
    Terminated,
    ended_at_once,
    ended_by_exception,
    signals_held_back,
)
from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.compiler import compile_object, launched_by
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.policy.graphs import random_graph

ROOT = Path(__file__).resolve().parent.parent
ENDING = [signal.SIGTERM, signal.SIGHUP]
PATIENCE_S = 60


def ended_while_staging(words: list[str], number: signal.Signals, folder: Path, name: str) -> str:
    """Start sparsectl, send the signal once something called `name` is there; what it said."""
    child = subprocess.Popen(
        [sys.executable, "-m", "sparsectl", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        until = time.monotonic() + PATIENCE_S
        while not list(folder.glob(name)):
            assert child.poll() is None and time.monotonic() < until
            time.sleep(0.001)
        child.send_signal(number)
        _, said = child.communicate(timeout=PATIENCE_S)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 128 + number
    return said


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_during_export_leaves_nothing_behind(
    number: signal.Signals, tmp_path: Path
) -> None:
    # Large, so that a starved test still meets the export in its midst.
    write_onnx(random_graph((25, 200, 200, 2)), tmp_path / "model.onnx")
    words = ["export", str(tmp_path / "model.onnx"), "--out", str(tmp_path / "p")]
    said = ended_while_staging(words, number, tmp_path, ".p-*")
    assert said.splitlines()[-1] == f"sparsectl export: stopped by {number.name}"
    assert "Traceback" not in said
    assert os.listdir(tmp_path) == ["model.onnx"]


STAGING = """
import sys, time
from pathlib import Path
from sparsectl.common.files import atomic_path, staging_folder
from sparsectl.common.interruption import ended_by_exception
from sparsectl.firmware_host.build import new_folder
with ended_by_exception(), staging_folder(Path("out")) as folder, new_folder(Path("elf")), \
     atomic_path(Path("file")):
    (folder / "half").write_text("made")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING])
def test_whatever_stages_clears_up(number: signal.Signals, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", STAGING],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"ready\n"
    assert len(os.listdir(tmp_path)) == 3
    child.send_signal(number)
    child.wait(PATIENCE_S)
    assert os.listdir(tmp_path) == []


def test_an_ignored_signal_stays_ignored_and_handlers_are_put_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_exception():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Terminated, match="stopped by SIGTERM"):
                os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING])
def test_a_signal_waits_also_where_another_thread_takes_it(number: signal.Signals) -> None:
    done, finished = threading.Event(), threading.Event()
    other = threading.Thread(target=finished.wait)  # it blocks no signal, as onnxruntime's do not
    before = [signal.getsignal(each) for each in (signal.SIGINT, *ENDING)]
    other.start()
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            ended_by_exception(),
            signals_held_back(),
            signals_held_back(),
        ):
            os.kill(os.getpid(), number)
            for _ in range(100):  # so that the interpreter looks for signals
                time.sleep(0.001)
            done.set()
    finally:
        finished.set()
        other.join()
    assert done.is_set()
    assert [signal.getsignal(each) for each in (signal.SIGINT, *ENDING)] == before


@pytest.mark.parametrize(
    ("error", "code", "reported"),
    [
        (ZeroDivisionError("by\nzero"), 1, "a defect of sparsectl (ZeroDivisionError: by zero)"),
        (RecursionError(), 1, "a defect of sparsectl (RecursionError: no message)"),
        (MemoryError(), 2, "the memory of this machine does not suffice"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (UserError("give a number"), 2, "give a number"),
        (KeyboardInterrupt(), 130, "stopped"),
        (Terminated(signal.SIGTERM), 143, "stopped by SIGTERM"),
    ],
)
def test_every_error_is_one_line(
    error: BaseException,
    code: int,
    reported: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(config: object) -> dict[str, object]:
        raise error

    monkeypatch.setattr(cli, "load", lambda function: fail)
    assert cli.run(["export", "model.onnx"]) == code
    said = capsys.readouterr().err
    assert said.startswith("sparsectl export: ") and said.count("\n") == 1 and reported in said
    with pytest.raises(type(error)):
        cli.run(["export", "model.onnx", "--debug"])


def test_actions_that_overflow_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = random_graph((4, 8, 1), activations=("relu", "identity"))
    for scale in (1e10, 1e19, 1e25, 1e37):
        layers = tuple(
            type(layer)(layer.weight * np.float32(scale), layer.bias, layer.activation)
            for layer in graph.layers
        )
        write_onnx(type(graph)(layers, graph.observation, graph.action), tmp_path / "model.onnx")
        for encoding in ("auto", "blocks", "straight-float32", "packed-int16", "straight-int8"):
            words = ["export", str(tmp_path / "model.onnx"), "--out", str(tmp_path / "p")]
            code = cli.run([*words, "--encoding", encoding, "--observations", "50"])
            said = capsys.readouterr().err
            assert code == 2 if scale > 1e20 else code in (0, 2), (scale, encoding, said)
            assert code == 0 or said.count("\n") == 1, said


@pytest.mark.parametrize(
    ("number", "reported"), [(signal.SIGINT, "stopped"), (signal.SIGTERM, "stopped by SIGTERM")]
)
def test_what_fails_by_a_signal_is_told_as_stopped(
    number: signal.Signals,
    reported: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def loaded(config: object) -> dict[str, object]:
        with contextlib.suppress(KeyboardInterrupt):  # as a C extension does that is imported
            signal.raise_signal(number)
        raise ImportError("initialization failed")

    monkeypatch.setattr(cli, "load", lambda function: loaded)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    code = cli.run(["export", "model.onnx"])
    signal.signal(signal.SIGINT, before)
    assert code == 128 + number
    assert capsys.readouterr().err == f"sparsectl export: {reported}\n"


def test_a_compiler_that_a_signal_ends_has_no_error_to_tell(tmp_path: Path) -> None:
    script = tmp_path / "ended"
    script.write_text("#!/bin/sh\nkill -INT $$\n")
    script.chmod(0o755)
    with launched_by(str(script)), pytest.raises(Terminated, match="SIGINT"):
        compile_object(find_board("host"), tmp_path / "a.c", tmp_path / "a.o", ())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(28, "No space left on device"),
            "done, but the result cannot be printed: No space",
        ),
        (BrokenPipeError(32, "Broken pipe"), ""),  # `head` has seen enough
    ],
)
def test_a_stdout_that_takes_nothing_does_not_hide_how_a_command_ended(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError,
    line: str,
) -> None:
    def show(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(cli, "load", lambda function: lambda config: {"exit_code": 3})
    monkeypatch.setattr(cli, "show", show)
    assert cli.run(["doctor"]) == 3
    said = capsys.readouterr().err
    assert line in said if line else said == ""


def test_a_pipe_that_breaks_within_a_command_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(config: object) -> dict[str, object]:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(cli, "load", lambda function: broken)
    assert cli.run(["doctor"]) == 2
    assert "sparsectl doctor: the system refuses: [Errno 32] Broken pipe" in capsys.readouterr().err


IMPORTING = """
import os, signal, sys
from sparsectl import start
class Signalling:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["MODULE"]:
            signal.raise_signal(signal.{number})
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
sys.meta_path.insert(0, Signalling())
start.main()
"""


@pytest.mark.parametrize(
    ("number", "module", "line"),
    [
        (signal.SIGINT, "sparsectl.cli", "sparsectl: stopped"),
        (signal.SIGINT, "tyro", "sparsectl: stopped"),
        (signal.SIGINT, "gymnasium", "sparsectl evaluate: stopped"),
        (signal.SIGTERM, "gymnasium", "sparsectl evaluate: stopped by SIGTERM"),
    ],
)
def test_a_signal_while_the_program_is_imported(
    number: signal.Signals, module: str, line: str
) -> None:
    """An extension module that meets an exception half-way may crash."""
    code = IMPORTING.format(number=number.name)
    ended = subprocess.run(
        [sys.executable, "-c", code, "evaluate", "--policy", "none.onnx"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"MODULE": module},
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (128 + number, line + "\n", "")


def test_the_handlers_are_as_before_once_the_imports_are_done() -> None:
    numbers = (signal.SIGINT, *ENDING)
    before = [signal.getsignal(number) for number in numbers]
    with ended_at_once("program"):
        pass
    assert [signal.getsignal(number) for number in numbers] == before
