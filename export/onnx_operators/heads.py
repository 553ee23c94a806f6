"""Discrete actions: Softmax, ArgMax."""

from __future__ import annotations

from dataclasses import replace

from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators.registry import Result, operator
from sparsectl.export.onnx_stream import (
    BATCH,
    COLUMNS,
    ROWS,
    VECTOR,
    Shared,
    Shifted,
    Stream,
    activate,
)

_AXES = {ROWS: (2, 1), COLUMNS: (2, 0), VECTOR: (1, 0)}
"""Layout to its dimensions and which of them is the neurons'."""


def _check_axis(node: Node, stream: Stream, default: int) -> None:
    dimensions, neurons = _AXES.get(stream.layout, (0, 0))
    if not dimensions or node.axis(dimensions, default) != neurons:
        node.refuse("it goes across the observations of a batch")


def _logits(node: Node) -> Stream:
    value = node.input(0)
    return value.stream if isinstance(value, Shifted) else node.stream()


@operator("ReduceLogSumExp")
def log_sum(node: Node) -> Result:
    """torch's Categorical takes it off its logits; softmax and argmax do not see that."""
    stream = node.stream()
    dimensions, neurons = _AXES.get(stream.layout, (0, 0))
    axes = node.wholes(1, "axes") or []
    if [axis % max(1, dimensions) for axis in axes] != [neurons] or not node.whole("keepdims", 1):
        node.refuse("it goes across the observations of a batch")
    return Shared()


@operator("LogSoftmax")
def log_softmax(node: Node) -> Result:
    stream = node.stream()
    _check_axis(node, stream, -1 if node.opset >= 13 or stream.layout == VECTOR else 1)
    return Shifted(stream)


@operator("Softmax")
def softmax(node: Node) -> Result:
    stream = _logits(node)
    default = -1 if node.opset >= 13 or stream.layout == VECTOR else 1
    _check_axis(node, stream, default)
    return activate(stream, "softmax", (), node.tensors.spend)


@operator("ArgMax")
def argmax(node: Node) -> Result:
    """After a softmax the same as before it."""
    stream = _logits(node)
    _check_axis(node, stream, 0)
    if node.whole("select_last_index", 0):
        node.refuse("it takes the last of equals")
    last = stream.layers[-1] if stream.layers else None
    if last is not None and last.activation == "softmax" and stream.is_bare:
        layers = (*stream.layers[:-1], replace(last, activation="identity"))
        stream = replace(stream, layers=layers, is_open=True)
    found = activate(stream, "argmax", (), node.tensors.spend)
    return found if node.whole("keepdims", 1) else replace(found, layout=BATCH)
