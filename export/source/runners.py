"""The programs that can run an ONNX graph, in order of preference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import onnxruntime
from onnx import ModelProto, ValueInfoProto

from sparsectl.export.source.float64 import dense, halves, rounded
from sparsectl.export.source.onnx_layout import Feeds
from sparsectl.export.source.reference import reference
from sparsectl.policy.acting.onnx_network import QUANTISED

Execute = Callable[[Feeds, list[str]], list[Any]]
"""The values called so, for what is fed."""

_FATAL = 4  # of onnxruntime's log; every error is raised too


class Runner(Protocol):
    name: str

    def run(self, feeds: Feeds, names: list[str]) -> list[Any]:
        """Return the values called `names`: outputs, or values that are watched."""


class OnnxRuntime:
    """onnxruntime on one thread, with the optimisations that it has by default; of quantised files
    the nodes as they stand, as products of bytes joined into one saturate on some processors, and
    weights in bytes make onnxruntime round the observations to bytes too."""

    name = "onnxruntime"

    def __init__(self, model: ModelProto, watched: Iterable[str] = ()) -> None:
        copy = model
        if watched:
            copy = ModelProto()
            copy.CopyFrom(model)
            there = {output.name for output in model.graph.output}
            copy.graph.output.extend(
                ValueInfoProto(name=name) for name in dict.fromkeys(watched) if name not in there
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        if any(word in node.op_type for node in model.graph.node for word in QUANTISED):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._halves = halves(model)
        self._session = onnxruntime.InferenceSession(
            copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, feeds: Feeds, names: list[str]) -> list[Any]:
        values: list[Any] = self._session.run(names, rounded(feeds, self._halves))
        return values


class Reference:
    """The reference implementation that comes with onnx, in numpy."""

    name = "onnx's reference"

    def __init__(self, model: ModelProto, watched: Iterable[str] = ()) -> None:
        self._halves = halves(model)
        self._evaluator = reference(dense(model))

    def run(self, feeds: Feeds, names: list[str]) -> list[Any]:
        values: list[Any] = list(self._evaluator.run(names, rounded(feeds, self._halves)))
        return values


RUNNERS: dict[str, Callable[..., Runner]] = {r.name: r for r in (OnnxRuntime, Reference)}


def reason(error: Exception) -> str:
    """Return what a runtime says, as one line of limited length."""
    return " ".join(str(error).split())[:160]
