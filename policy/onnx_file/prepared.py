"""A file before it is read: functions of its own are replaced by their nodes, an input of whole
numbers that nodes only move and cast to floats becomes one of floats, and ONNX's own operators are
in its default domain."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from sparsectl.policy.onnx_file.functions import all_nodes, inlined

Limits = tuple[float | None, float | None]

WHOLE_RANGES: dict[int, Limits] = {
    TensorProto.BOOL: (0.0, 1.0),
    TensorProto.UINT8: (0.0, 255.0),
    TensorProto.INT8: (-128.0, 127.0),
    TensorProto.UINT16: (0.0, 65535.0),
    TensorProto.INT16: (-32768.0, 32767.0),
    TensorProto.INT32: (None, None),
    TensorProto.INT64: (None, None),
}
"""Types of whole numbers that an input may have, and the limits of the narrow ones."""

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
_MOVERS = frozenset(
    "Identity Transpose Reshape Flatten Squeeze Unsqueeze Slice Split Gather".split()
)
"""Operators that move the elements of their first input about, of whichever type they are."""
_SIZES = ("Shape", "Size")
"""Operators that do not look at the elements."""


def prepared(model: ModelProto) -> ModelProto:
    """Return the model as it is read; it computes the same for whole numbers.

    Raises:
        UserError: functions that cannot be replaced by their nodes.
    """
    return _with_inputs_of_floats(_in_default_domain(inlined(model)))


def whole_limits(model: ModelProto) -> dict[str, Limits]:
    """Return the limits of the inputs of whole numbers, by their names."""
    return {
        value.name: WHOLE_RANGES[value.type.tensor_type.elem_type]
        for value in model.graph.input
        if value.type.tensor_type.elem_type in WHOLE_RANGES
    }


def _in_default_domain(model: ModelProto) -> ModelProto:
    """Return the model with ONNX's own operators in the domain "", not in "ai.onnx", which means
    the same."""
    named = (model.opset_import, model.graph.node)
    if not any(each.domain == "ai.onnx" for group in named for each in group):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for group in (copy.opset_import, copy.graph.node):
        for each in group:
            each.domain = "" if each.domain == "ai.onnx" else each.domain
    return copy


def _with_inputs_of_floats(model: ModelProto) -> ModelProto:
    changed: dict[int, set[str]] = {}
    for index, value in enumerate(model.graph.input):
        if value.type.tensor_type.elem_type in WHOLE_RANGES:
            moved = _moved_until_cast(model.graph, value)
            if moved:
                changed[index] = moved
    if not changed:
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for index in changed:
        copy.graph.input[index].type.tensor_type.elem_type = TensorProto.FLOAT
    names = set().union(*changed.values())
    kept = [value for value in copy.graph.value_info if value.name not in names]
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(kept)
    return copy


def _moved_until_cast(graph: GraphProto, value: ValueInfoProto) -> set[str] | None:
    """Return the names that the input's elements have until they are cast to floats; None if
    anything else reads one of them."""
    names = {value.name}
    inner = {name for node in graph.node for each in _inner(node) for name in each.input}
    for node in graph.node:
        if not names.intersection(node.input) or node.op_type in _SIZES:
            continue
        if node.op_type == "Cast" and any(
            a.name == "to" and a.i in _FLOATS for a in node.attribute
        ):
            continue
        if node.op_type not in _MOVERS or names.intersection(node.input[1:]):
            return None
        names.update(node.output)
    ends = {output.name for output in graph.output}
    return None if names & (ends | inner) else names


def _inner(node: NodeProto) -> Iterator[NodeProto]:
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from all_nodes(graph.node)
