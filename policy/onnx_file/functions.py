"""A file's own functions, replaced by the nodes that they consist of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from onnx import FunctionProto, ModelProto, NodeProto, defs
from onnx.checker import ValidationError
from onnx.inliner import inline_local_functions

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.tensors import short

MAX_NODES = 10_000

Key = tuple[str, str, str]
"""Domain, name and overload of a function."""


def inlined(model: ModelProto) -> ModelProto:
    """Return the model without functions of its own.

    Raises:
        UserError: functions that contain one another, that have too many nodes, or that are written
            in an opset whose operators are not those of the model's.
    """
    if not model.functions:
        return model
    bodies = {(f.domain, f.name, f.overload): f.node for f in model.functions}

    @cache
    def count(key: Key) -> int:
        return size(bodies[key])

    def size(nodes: Sequence[NodeProto]) -> int:
        return sum(count(_key(n)) if _key(n) in bodies else 1 for n in all_nodes(nodes))

    try:
        total = size(model.graph.node)
        found = model
        if total <= MAX_NODES:
            found = inline_local_functions(_in_one_opset(_with_defaults(model)))
    except (RecursionError, ValidationError) as error:
        raise UserError("functions of its own contain one another; export it again") from error
    if total > MAX_NODES:
        raise UserError(f"{total} nodes; a policy has at most {MAX_NODES}")
    for node in all_nodes(found.graph.node):
        if _key(node) in bodies:
            name = short(f"{node.domain}.{node.op_type}".strip("."))
            raise UserError(
                f"its function {name} is written in another opset than the file, and its operators "
                "have changed between the two; write both in one"
            )
    return found


def _in_one_opset(model: ModelProto) -> ModelProto:
    """Return the model with the functions in its own opset whose operators are the same there;
    onnx's inliner leaves a function of another opset where it is."""
    versions = {each.domain: each.version for each in model.opset_import}
    own = versions.get("", versions.get("ai.onnx"))
    if own is None:
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for function in copy.functions:
        for each in function.opset_import:
            if each.domain in ("", "ai.onnx") and _is_same(function, each.version, own):
                each.version = own
    return copy


def _is_same(function: FunctionProto, first: int, second: int) -> bool:
    """Return whether a function's operators of ONNX mean the same in two opsets."""
    used = {n.op_type for n in all_nodes(function.node) if n.domain in ("", "ai.onnx")}
    try:
        return all(
            len({defs.get_schema(name, version, "").since_version for version in (first, second)})
            == 1
            for name in used
        )
    except defs.SchemaError:  # an operator that one of them lacks
        return False


def _with_defaults(model: ModelProto) -> ModelProto:
    """Return the model with the attributes that a function has by default written at each of its
    calls, as onnx's inliner does not know of them."""
    defaults = {
        (f.domain, f.name, f.overload): f.attribute_proto
        for f in model.functions
        if f.attribute_proto
    }
    if not defaults:
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for nodes in (copy.graph.node, *(function.node for function in copy.functions)):
        for node in all_nodes(nodes):
            given = {attribute.name for attribute in node.attribute}
            for attribute in defaults.get(_key(node), ()):
                if attribute.name not in given:
                    node.attribute.append(attribute)
    return copy


def _key(node: NodeProto) -> Key:
    return node.domain, node.op_type, node.overload


def all_nodes(nodes: Sequence[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes and those of their branches."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from all_nodes(graph.node)
