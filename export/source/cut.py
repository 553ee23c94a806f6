"""Extract the part of an ONNX file that leads to one output."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import GraphProto, ModelProto, NodeProto


def leading_to(model: ModelProto, *outputs: str) -> ModelProto:
    """Return a copy with only the nodes, tensors and inputs that `outputs` depend on, unchanged."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output if name}
    names, waiting = {*outputs}, [*outputs]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None:
            fresh = (set(read_by(node)) | set(node.output)) - names
            names |= fresh
            waiting += fresh
    copy = ModelProto()
    copy.CopyFrom(model)
    for field, named in (
        ("node", lambda node: not names.isdisjoint(node.output)),
        ("initializer", lambda tensor: tensor.name in names),
        ("sparse_initializer", lambda tensor: tensor.values.name in names),
        ("input", lambda value: value.name in names),
        ("output", lambda value: value.name in outputs),
    ):
        kept = [item for item in getattr(graph, field) if named(item)]  # type: ignore[no-untyped-call]
        copy.graph.ClearField(field)
        getattr(copy.graph, field).extend(kept)
    return copy


def read_by(node: NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, including those in its subgraphs."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())):
            yield from _read_in(inner)


def _read_in(graph: GraphProto) -> Iterator[str]:
    yield from (output.name for output in graph.output)
    for node in graph.node:
        yield from read_by(node)
