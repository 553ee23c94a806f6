"""A run of the fuzzer: many hostile files, each read or refused within limits.

python -m tests.export.fuzz.campaign --files 100000 --seed 1
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import onnx_model
from tests.export.fuzz.mutations import damaged
from tests.policy.graphs import random_graph

CPU_SECONDS = 5.0
"""Of processor time for one file, after which the reader counts as hanging."""
GROWTH_BYTES = 600 * 2**20
"""Of the process over the whole run."""

_EXPORTED = Path(__file__).parent.parent / "exported"


@dataclass
class Outcome:
    """What became of the files."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    growth_bytes: int = 0

    @property
    def files(self) -> int:
        return self.read + sum(self.refused.values())


def seeds() -> list[bytes]:
    """Real exports, and what this project writes, sparse and dense."""
    names = ("silu", "gelu", "softmax")
    own = [random_graph((4, 8, 6, 3), 0.3, activations=names, action_map=True)]
    own.append(random_graph((40, 64, 2), 0.05))
    written = [onnx_model(graph, sparse=True).SerializeToString() for graph in own]
    return [path.read_bytes() for path in sorted(_EXPORTED.glob("*.onnx"))] + written


def campaign(files: int, seed: int, folder: Path, progress: bool = False) -> Outcome:
    """Read `files` hostile files; anything but a policy or a UserError of one line is raised, with
    the file left in `folder`."""
    generator, corpus, outcome = random.Random(seed), seeds(), Outcome()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = folder / "hostile.onnx"
    for _ in tqdm(range(files), disable=not progress, unit="file"):
        path.write_bytes(damaged(corpus, generator))
        started = time.process_time()
        _read(path, outcome)
        outcome.slowest_s = max(outcome.slowest_s, time.process_time() - started)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome.growth_bytes = (after - before) * 1024
    return outcome


def _read(path: Path, outcome: Outcome) -> None:
    with _limited(), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            graph = read_onnx(path)
        except UserError as error:
            text = str(error)
            if "\n" in text or len(text) > 1000:
                raise AssertionError(f"not one line: {text!r}") from error
            outcome.refused[_reason(text)] += 1
            return
    assert isinstance(graph, PolicyGraph)
    graph.forward([0.0] * graph.observation_size)
    outcome.read += 1


def _reason(text: str) -> str:
    """The message without names and numbers."""
    words = text.split(": ", 1)[-1].split()
    return " ".join(word for word in words if word.isalpha())[:60]


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"over {CPU_SECONDS} s of processor time")

    previous = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sparsectl-fuzz-"))
    print(f"a file that breaks the reader stays in {folder}")
    outcome = campaign(arguments.files, arguments.seed, folder, progress=True)
    print(
        f"{outcome.files} files: {outcome.read} read, {sum(outcome.refused.values())} refused for "
        f"{len(outcome.refused)} reasons; slowest {outcome.slowest_s:.3f} s of processor time; "
        f"memory grew by {outcome.growth_bytes / 2**20:.0f} MB"
    )


if __name__ == "__main__":
    main()
