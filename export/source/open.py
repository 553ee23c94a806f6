"""A file as a source, by its ending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.export.source.source import Source
from sparsectl.export.source.student_source import StudentSource
from sparsectl.policy.graph import PolicyGraph

Opener = Callable[[Path, PolicyGraph, str | None], Source]

SOURCES: dict[str, Opener] = {
    ".safetensors": lambda path, graph, output: StudentSource(path, graph),
    ".onnx": lambda path, graph, output: OnnxSource(
        path, output, (graph.observation_size, graph.action_size)
    ),
}


def open_source(path: Path, graph: PolicyGraph, output: str | None) -> Source:
    """The file at `path`, which the reader made `graph` of.

    Raises:
        UserError: what the kind of source raises.
    """
    return SOURCES[path.suffix.lower()](path, graph, output)
