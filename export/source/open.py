"""Open a file as a source, by the ending of its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparsectl.export.source.actor_source import ActorSource
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.export.source.source import Source
from sparsectl.export.source.student_source import StudentSource
from sparsectl.policy.actor_file import ACTORS
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.load import LoadOptions

Opener = Callable[[Path, PolicyGraph, LoadOptions], Source]


def _actor(path: Path, graph: PolicyGraph, asked: LoadOptions) -> Source:
    return ActorSource(path, asked.normalizer, graph.sizes)


def _onnx(path: Path, graph: PolicyGraph, asked: LoadOptions) -> Source:
    return OnnxSource(path, asked.output, graph.sizes, argmax=asked.argmax)


SOURCES: dict[str, Opener] = {
    ".safetensors": lambda path, graph, asked: StudentSource(path, graph),
    ".onnx": _onnx,
    **dict.fromkeys(ACTORS, _actor),
}


def open_source(path: Path, graph: PolicyGraph, asked: LoadOptions) -> Source:
    """Return the source for the file at `path`, from which the reader made `graph`.

    Raises:
        UserError: what the kind of source raises.
    """
    return SOURCES[path.suffix.lower()](path, graph, asked)
