"""Run `bench` on several exported folders at a time, and on what compiles to the same code once."""

from __future__ import annotations

import contextvars
import hashlib
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.bench import Exact, find_target
from sparsectl.firmware_host.bench import bench as bench_policy
from sparsectl.firmware_host.config import BenchConfig
from sparsectl.firmware_host.cores.host import HOST
from sparsectl.firmware_host.policy_folder import HEADER, read_golden_vectors
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.load import model_file
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.sequences import run_sequence

_COMPILED: Final = (HEADER, "policy.c", "policy.S")
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|/\*.*?\*/', re.DOTALL)


def on_board(config: BenchConfig) -> dict[str, Any]:
    """Measure the policy in the folder `config.policy`, compared with its policy.onnx.

    Raises:
        UserError: policy.onnx was changed after it was exported; what `firmware_host.bench.bench`
            raises.
    """
    model = model_file(config.policy)
    graph = read_onnx(model) if model.is_file() else None
    return bench_policy(config, None if graph is None else exact_actions(graph, config.policy))


def exact_actions(graph: PolicyGraph, folder: Path) -> Exact:
    """Return the policy in float64, for the golden vectors in the folder: if it keeps a state,
    that is reset where the vectors have it reset."""
    if not graph.state_size:
        return graph.forward_exact
    golden, start = read_golden_vectors(folder), graph.initial_state().astype(np.float64)

    def exact(observations: Float32) -> Float64:
        resets, tick = golden.resets[: len(observations)], graph.step_graph.forward_exact
        return run_sequence(tick, start, observations.astype(np.float64), resets).actions

    return exact


class Benches:
    """`on_board` of several folders, each in a thread: compilers and emulators are processes or C,
    which leave the interpreter to the next export. What is timed by a clock runs alone.

    A context manager: when its block fails, what has not begun never will, and what has begun is
    waited for.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "bench")
        self._known: dict[tuple[str, str], Future[dict[str, Any]]] = {}

    def __enter__(self) -> Benches:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def start(
        self, folder: Path, board: str, runs: int = BenchConfig.runs
    ) -> Future[dict[str, Any]]:
        """Return what will be the result of `bench` on a board, or its `UserError`.

        On an emulator the same code gives the same figures for the same observations: folders whose
        C differs in comments alone, and whose golden vectors are equal, are measured once.

        Raises:
            UserError: there is no such board; the folder is not as `export` wrote it.
        """
        config = BenchConfig(policy=folder, board=board, runs=runs)
        if find_target(board).core is HOST:
            return _done(config)
        key = (board, _digest_of_code(folder))
        if key not in self._known:
            # The compiler's launcher is the context's, which a thread does not inherit.
            context = contextvars.copy_context()
            self._known[key] = self._threads.submit(context.run, on_board, config)
        return self._known[key]


def _done(config: BenchConfig) -> Future[dict[str, Any]]:
    """Measure here and now."""
    result: Future[dict[str, Any]] = Future()
    try:
        result.set_result(on_board(config))
    except UserError as error:
        result.set_exception(error)
    return result


def _digest_of_code(folder: Path) -> str:
    """Return the SHA-256 of all that decides over the figures of a folder on a board: its C without
    comments, and the golden vectors, which the observations are made of."""
    digest = hashlib.sha256(repr(read_golden_vectors(folder).to_json()).encode())
    for name in _COMPILED:
        path = folder / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        # As in C a comment is a blank; what looks like one inside a string is none.
        digest.update(f"{name}\n{_COMMENT.sub(_kept, text)}".encode())
    return digest.hexdigest()


def _kept(found: re.Match[str]) -> str:
    return found.group(1) or " "
