"""Replace each If whose condition is a constant by the branch that is taken.

Inside a branch nothing can be watched from outside, neither the values that a node compares nor the
rounding of each node. A policy's conditions are constants: the reader refuses all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper

from sparsectl.export.source.cut import leading_to
from sparsectl.export.source.float64 import dense
from sparsectl.export.source.onnx_layout import Feeds
from sparsectl.export.source.reference import reference

MAX_DEPTH = 100
"""Branches within branches of more files than anyone writes."""


def with_branches_taken(model: ModelProto, feeds: Feeds) -> ModelProto:
    """Return the model with the nodes of the branches that it takes in place of its Ifs.

    Args:
        model: its conditions do not depend on the numbers that it is fed.
        feeds: any inputs of the right shapes.

    Raises:
        Exception: onnx's reference does not know an operator that leads to a condition.
    """
    for _ in range(MAX_DEPTH):
        conditions = [node.input[0] for node in model.graph.node if node.op_type == "If"]
        if not conditions:
            return model
        model = _inlined(model, _values(model, conditions, feeds))
    return model


def _values(model: ModelProto, names: list[str], feeds: Feeds) -> dict[str, bool]:
    names = list(dict.fromkeys(names))
    path = leading_to(model, *names)
    path.graph.ClearField("output")
    path.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    needed = {value.name for value in path.graph.input}
    given = {name: array for name, array in feeds.items() if name in needed}
    found = reference(dense(path)).run(None, given)
    return {n: bool(np.asarray(v).reshape(-1)[0]) for n, v in zip(names, found, strict=True)}


def _inlined(model: ModelProto, conditions: Mapping[str, bool]) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.graph.ClearField("node")
    for node in model.graph.node:
        if node.op_type != "If":
            copy.graph.node.append(node)
            continue
        wanted = "then_branch" if conditions[node.input[0]] else "else_branch"
        branch = next(a.g for a in node.attribute if a.name == wanted)
        _add(copy.graph, branch, node.output)
    return copy


def _add(graph: GraphProto, branch: GraphProto, outputs: Any) -> None:
    """Append what a branch contains; two branches may use the same names for what they make."""
    inside = {name for node in branch.node for name in node.output if name}
    inside |= {tensor.name for tensor in branch.initializer}
    inside |= {tensor.values.name for tensor in branch.sparse_initializer}
    names = {name: f"{outputs[0]}/{name}" for name in inside}
    for tensor in branch.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = names[tensor.name]
    for sparse in branch.sparse_initializer:
        graph.sparse_initializer.add().CopyFrom(sparse)
        graph.sparse_initializer[-1].values.name = names[sparse.values.name]
    graph.node.extend(_renamed(node, names) for node in branch.node)
    for value, output in zip(branch.output, outputs, strict=False):
        if output:
            made = names.get(value.name, value.name)
            graph.node.append(helper.make_node("Identity", [made], [output]))


def _renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    for attribute in copy.attribute:
        for graph in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())):
            nodes = [_renamed(inner, names) for inner in graph.node]
            graph.ClearField("node")
            graph.node.extend(nodes)
            for output in graph.output:
                output.name = names.get(output.name, output.name)
    return copy
