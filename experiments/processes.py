"""Run tasks as processes of this machine, each with one thread."""

from __future__ import annotations

import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from sparsectl.common.errors import UserError
from sparsectl.common.files import FULL, unwritable
from sparsectl.experiments.folder import LOG, Folder, Outcome
from sparsectl.experiments.plan import Task

THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
JAX_THREADS: Final = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
PATIENCE_S: Final = 30.0
"""Time in which tasks may write a checkpoint and end."""
NO_LIMIT_S: Final = math.inf
EXIT_LATE: Final = 124
"""Exit code that stands for a task that was stopped by its time limit, as of `timeout`."""
TAIL: Final = 4096
"""Number of bytes at a log's end that are read."""


class Workers(Protocol):
    """The processes or machines that run tasks."""

    @property
    def free(self) -> int:
        """Return how many more tasks may be started now."""

    def start(self, task: Task) -> None:
        """Start a task; the tasks that it needs are finished."""

    def ended(self) -> Iterator[tuple[Task, Outcome]]:
        """Return the tasks that have ended since the last call."""

    def said(self, task: Task) -> str:
        """Return the last line of a running task."""

    def stop(self) -> None:
        """End all running tasks; their checkpoints stay."""


@dataclass
class _Process:
    task: Task
    process: subprocess.Popen[bytes]
    started: float
    output: IO[bytes]
    is_late: bool = False


class Processes:
    """Workers on this machine.

    Args:
        folder: the sweep's folder.
        count: number of tasks at once.
        limit_s: time after which a task is stopped, and has failed.
    """

    def __init__(self, folder: Folder, count: int, limit_s: float = NO_LIMIT_S) -> None:
        self.folder, self.count, self.limit_s = folder, count, limit_s
        self._running: list[_Process] = []

    @property
    def free(self) -> int:
        return self.count - len(self._running)

    def start(self, task: Task) -> None:
        place = self.folder.tasks / task.name
        words = task_words(task, self.folder.tasks)
        try:
            place.mkdir(parents=True, exist_ok=True)
            output = _own_output(place / ".result.json")
            with (place / LOG).open("ab") as log:
                log.write(f"$ sparsectl {' '.join(words)}\n".encode())
                log.flush()
                process = subprocess.Popen(
                    [sys.executable, "-m", "sparsectl.experiments.child", *words, "--json"],
                    stdin=subprocess.PIPE,  # never written: it closes when this process ends
                    stdout=output,
                    stderr=log,
                    env=one_thread_environment(),
                    process_group=0,  # this process handles Ctrl-C and ends them
                )
        except OSError as error:
            raise UserError(unwritable(place, error)) from error
        self._running.append(_Process(task, process, time.monotonic(), output))

    def ended(self) -> Iterator[tuple[Task, Outcome]]:
        for each in list(self._running):
            if each.process.poll() is None:
                self._check_time(each)
            else:
                self._running.remove(each)
                yield each.task, self._outcome(each)

    def said(self, task: Task) -> str:
        return last_line(self.folder.tasks / task.name / LOG)

    def stop(self) -> None:
        for each in self._running:
            _signal(each.process, signal.SIGINT)
        until = time.monotonic() + PATIENCE_S
        try:
            for each in self._running:
                with suppress(subprocess.TimeoutExpired):
                    each.process.wait(max(0.0, until - time.monotonic()))
        finally:
            for each in self._running:
                _signal(each.process, signal.SIGKILL)
                each.process.wait()
                self._close(each)
            self._running.clear()

    def _check_time(self, each: _Process) -> None:
        """Stop a task that is late: as Ctrl-C does at first, then at once."""
        over = time.monotonic() - each.started - self.limit_s
        if over > 0 and not each.is_late:
            each.is_late = True
            _signal(each.process, signal.SIGINT)
        elif over > PATIENCE_S:
            _signal(each.process, signal.SIGKILL)

    def _outcome(self, each: _Process) -> Outcome:
        seconds = time.monotonic() - each.started
        code = each.process.returncode
        code = EXIT_LATE if code and each.is_late else code
        each.output.seek(0)
        text = each.output.read()
        self._close(each)
        log = self.folder.tasks / each.task.name / LOG
        return outcome_of(code, text, last_line(log), seconds)

    def _close(self, each: _Process) -> None:
        if each.process.stdin is not None:
            each.process.stdin.close()
        each.output.close()
        Path(each.output.name).unlink(missing_ok=True)


def _own_output(path: Path) -> IO[bytes]:
    """Open a task's standard output, which is locked as long as any process has it open.

    A task that a killed sweep left behind ends by itself (`experiments.child`); this waits for it,
    because two processes of one task would mix their files.

    Raises:
        UserError: it does not end.
    """
    output = path.open("a+b")
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                output.close()
                raise UserError(
                    f"a task that another sweep began still runs in {path.parent}; end it, "
                    "then run the same command again"
                ) from error
            time.sleep(0.1)
        else:
            output.truncate(0)
            return output


def task_words(task: Task, tasks: Path) -> list[str]:
    """Return the words of a task's command; its episodes run in one process."""
    words = [task.command, *task.words(tasks)]
    if "workers" not in task.settings and task.command in ("collect", "distill"):
        words.append("--workers=1")
    return words


def one_thread_environment() -> dict[str, str]:
    """Return the environment of parallel processes; two threads of a library in each are slow."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {JAX_THREADS}".strip()
    return {**os.environ, **dict.fromkeys(THREADS, "1"), "XLA_FLAGS": flags}


def outcome_of(code: int, output: bytes, last: str, seconds: float) -> Outcome:
    """Return how a command ended, from its exit code, standard output and last line on stderr."""
    if code == EXIT_LATE:
        said = f"; its last line was: {last}" if last else ""
        return Outcome(code, {}, f"stopped by --time-limit{said}", seconds)
    if code < 0:
        name = signal.Signals(-code).name
        why = "; the memory of the machine may not have sufficed" if name == "SIGKILL" else ""
        return Outcome(128 - code, {}, f"killed by {name}{why}", seconds)
    if code:
        return Outcome(code, {}, last or f"exit code {code}, and no line that says why", seconds)
    try:
        result: Any = json.loads(output)
    except ValueError:
        return Outcome(1, {}, "its result is no JSON", seconds)
    return Outcome(0, result, "", seconds)


def last_line(log: Path) -> str:
    """Return the last line of a log; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines and not lines[-1].startswith("$ ") else ""


def is_disk_full(line: str) -> bool:
    """Return whether a command's last line reports a full disk."""
    return any(os.strerror(number) in line for number in FULL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and its children, if it still runs."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
