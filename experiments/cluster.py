"""Tasks on a Ray cluster: code and inputs are sent once, files come back, lost tasks run again.

A task's files are written here as soon as it ends, and inputs of later tasks are put into the
object store from here. A node that dies therefore loses only the tasks that it was running.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any, Final

import ray

import sparsectl
from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.common.scratch import scratch_folder
from sparsectl.experiments.folder import LOG, Folder, Outcome
from sparsectl.experiments.plan import DIGITS, TASKS, Plan, Task
from sparsectl.experiments.processes import (
    last_line,
    one_thread_environment,
    outcome_of,
    task_words,
)
from sparsectl.experiments.remote import Files, run_remote

CONNECT_S: Final = 5.0
CORES_EVERY_S: Final = 5.0
"""Interval at which the number of cores of the cluster is queried: nodes come and go."""
HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HTTP2_SETTINGS: Final = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""An empty SETTINGS frame: length, kind, flags, stream. Each end sends one first (RFC 9113)."""
HTTP2_KIND: Final = 3
FROM_OUTSIDE: Final = "inputs"
LOST: Final = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.LocalRayletDiedError,
)
"""Exit code of a task whose worker or node is gone."""


class Cluster:
    """Workers on a cluster.

    Args:
        folder: the sweep's folder.
        plan: the plan whose tasks run.
        address: HOST:PORT of the head, or auto.
        retries: how often a task is restarted after its worker was lost.
        limit_s: time after which a task is stopped, and has failed.

    Raises:
        UserError: no cluster answers there.
    """

    def __init__(
        self, folder: Folder, plan: Plan, address: str, retries: int, limit_s: float
    ) -> None:
        self.folder, self.plan, self.retries, self.limit_s = folder, plan, retries, limit_s
        with ExitStack() as stack:
            code = _staged_code(stack.enter_context(scratch_folder("code")))
            # Ray reports lost nodes on standard output, which is for the result; its own logs
            # contain them as well.
            stack.enter_context(redirect_stdout(io.StringIO()))
            _connect(address, code)
            stack.callback(ray.shutdown)
            self._stack = stack.pop_all()
        self._running: dict[Any, Task] = {}
        self._lost: dict[str, int] = {}
        self._stored: dict[str, Any] = {}
        self._looked = time.monotonic()
        self.cores = _cores()
        self._run = ray.remote(max_retries=0)(run_remote)

    @property
    def free(self) -> int:
        if time.monotonic() - self._looked > CORES_EVERY_S:
            self._looked, self.cores = time.monotonic(), _cores()
        return self.cores - len(self._running)

    def start(self, task: Task) -> None:
        sources = [*task.inputs.values()]
        places = [f"{TASKS}/{each.name}/{each.stage.file}" for each in sources]
        stored = [self._stored_task(each) for each in sources]
        moved: dict[str, Any] = {}
        for name, value in _outside(task).items():
            values = value if isinstance(value, list) else [value]
            named = [self._stored_file(Path(each)) for each in values]
            moved[name] = [place for place, _ in named] if isinstance(value, list) else named[0][0]
            for place, reference in named:
                if reference is not None:
                    places.append(place)
                    stored.append(reference)
        settings = {name: value for name, value in task.settings.items() if name not in moved}
        words = task_words(
            Task(task.name, task.command, task.label, settings, moved, task.inputs), Path(TASKS)
        )
        left_behind = [*task.stage.scratch, ".result.json", LOG]
        reference = self._run.options(num_cpus=1, num_gpus=_gpus(task)).remote(
            words, f"{TASKS}/{task.name}", left_behind, self.limit_s, places, *stored
        )
        self._running[reference] = task

    def ended(self) -> Iterator[tuple[Task, Outcome]]:
        if not self._running:
            return
        done, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        for reference in done:
            task = self._running.pop(reference)
            try:
                found = ray.get(reference)
            except LOST as error:
                if (outcome := self._begun_anew(task, error)) is not None:
                    yield task, outcome
                continue
            except ray.exceptions.RayError as error:
                said = " ".join(str(error).split())
                yield task, Outcome(1, {}, f"the cluster could not run it: {said[-400:]}", 0.0)
                continue
            yield task, self._kept(task, *found)

    def said(self, task: Task) -> str:
        lost = self._lost.get(task.name)
        return f"on the cluster, begun anew {lost} times" if lost else "on the cluster"

    def stop(self) -> None:
        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()
        self._stored.clear()
        self._stack.close()

    def _begun_anew(self, task: Task, error: Exception) -> Outcome | None:
        """Return how the task ended if it may not be restarted; None: it has been restarted."""
        lost = self._lost[task.name] = self._lost.get(task.name, 0) + 1
        if lost <= self.retries:
            self.start(task)
            return None
        kind = type(error).__name__
        return Outcome(1, {}, f"its worker was lost {lost} times ({kind}); see --retries", 0.0)

    def _kept(
        self,
        task: Task,
        code: int,
        output: bytes,
        log: bytes,
        seconds: float,
        files: dict[str, bytes],
    ) -> Outcome:
        """Write the files that a worker returned."""
        place = self.folder.tasks / task.name
        for relative, content in files.items():
            with atomic_path(place / relative) as temporary:
                temporary.write_bytes(content)
        with atomic_path(place / LOG) as temporary:
            temporary.write_bytes(log)
        # The paths in it become relative to the folder of tasks, as a local task's are.
        text = output.replace(f"{TASKS}/{task.name}".encode(), str(place).encode())
        return outcome_of(code, text, last_line(place / LOG), seconds)

    def _stored_task(self, task: Task) -> Any:
        """Return the object store's reference to the files of a finished task, stored once."""
        if task.name not in self._stored:
            made = self.folder.tasks / task.name / task.stage.file
            self._stored[task.name] = ray.put(_contents(made))
        return self._stored[task.name]

    def _stored_file(self, path: Path) -> tuple[str, Any]:
        """Return the path of an input file for the workers, and the reference to its content."""
        if not path.exists():  # minari:ID, which is installed on a node or not
            return str(path), None
        key = str(path)
        if key not in self._stored:
            self._stored[key] = ray.put(_contents(path))
        place = hashlib.sha256(key.encode()).hexdigest()[:DIGITS]
        return f"{FROM_OUTSIDE}/{place}/{path.name}", self._stored[key]


def _outside(task: Task) -> dict[str, Any]:
    """Return the settings that are input files, including a rig's file named as an environment."""
    env = task.settings.get("env")
    is_rig = isinstance(env, str) and env.endswith(".toml")
    return {**task.files, **({"env": Path(env)} if is_rig and env else {})}


def _gpus(task: Task) -> int:
    return int(str(task.settings.get("device", "")).startswith("cuda"))


def _contents(path: Path) -> Files:
    if path.is_file():
        return {"": path.read_bytes()}
    files = (each for each in sorted(path.rglob("*")) if each.is_file())
    return {str(each.relative_to(path)): each.read_bytes() for each in files}


def _staged_code(folder: Path) -> Path:
    """Return a copy of this package, whose folders may be links, for the workers."""
    source = Path(sparsectl.__file__).absolute().parent
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    return Path(shutil.copytree(source, folder / "sparsectl", ignore=ignored))


def _cores() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _connect(address: str, code: Path) -> None:
    mend = "start one by `ray start --head`, or give the HOST:PORT that it names"
    if address != "auto":
        _check_answers(address, mend)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    threads = one_thread_environment()
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")
    environment = {"env_vars": {name: threads[name] for name in names}, "py_modules": [str(code)]}
    try:
        ray.init(
            address=address,
            runtime_env=environment,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"ray is {address!r}, and no cluster is there ({said}); {mend}") from error


def _check_answers(address: str, mend: str) -> None:
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65_536):
        raise UserError(f"ray is {address!r}, which is no HOST:PORT and not auto; {mend}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as connection:
            is_ray = os.environ.get("RAY_USE_TLS") == "1" or _speaks_http2(connection)
    except OSError as error:
        raise UserError(
            f"ray is {address!r}, and nothing answers there ({error.strerror or error}); {mend}"
        ) from error
    if not is_ray:
        raise UserError(f"ray is {address!r}, and what answers there is not Ray; {mend}")


def _speaks_http2(connection: socket.socket) -> bool:
    """Return whether HTTP/2 is spoken at the other end, as Ray's gRPC does. Ray itself would wait
    for an answer of any other server for minutes.

    Raises:
        OSError: nothing came within the time, or the connection broke.
    """
    connection.sendall(HTTP2_PREFACE + HTTP2_SETTINGS)
    head = connection.recv(len(HTTP2_SETTINGS))
    return len(head) == len(HTTP2_SETTINGS) and head[HTTP2_KIND] == HTTP2_SETTINGS[HTTP2_KIND]
