"""A file as a source, by its ending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.export.source.sb3_source import Sb3Source
from sparsectl.export.source.source import Source
from sparsectl.export.source.student_source import StudentSource
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.load import Asked

Opener = Callable[[Path, PolicyGraph, Asked], Source]

SOURCES: dict[str, Opener] = {
    ".safetensors": lambda path, graph, asked: StudentSource(path, graph),
    ".onnx": lambda path, graph, asked: OnnxSource(path, asked.output, graph.sizes),
    ".zip": lambda path, graph, asked: Sb3Source(path, asked.normalizer, graph.sizes),
}


def open_source(path: Path, graph: PolicyGraph, asked: Asked) -> Source:
    """The file at `path`, which the reader made `graph` of.

    Raises:
        UserError: what the kind of source raises.
    """
    return SOURCES[path.suffix.lower()](path, graph, asked)
