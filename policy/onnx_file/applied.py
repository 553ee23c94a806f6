"""Apply the nodes of an ONNX graph, one after another, to what is known of their inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.node import Node, Value
from sparsectl.policy.onnx_file.operators import ELSEWHERE, OPERATORS, in_kind
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import Symbol, SymbolError
from sparsectl.policy.onnx_file.tensors import TensorReader, short


@dataclass(frozen=True)
class Scope:
    """Where nodes are applied: a graph, or a branch inside one.

    Attributes:
        values: what is known of the tensors so far, by name.
        names: every value that the graph's nodes read, and its outputs.
        opset: the version of the operators.
        tensors: reads the file's constants and bounds what is made of them.
        program: the steps that the policy will consist of.
    """

    values: dict[str, Value]
    names: set[str]
    opset: int
    tensors: TensorReader
    program: Program

    def apply_all(self, nodes: Sequence[NodeProto]) -> None:
        """Add what the nodes make to `values`."""
        _refuse_by_name(nodes)
        for node in nodes:
            results = self._apply_branch(node) if node.op_type == "If" else self._apply(node)
            named = zip(node.output, results, strict=False)
            self.values.update((name, result) for name, result in named if name)

    def _apply_branch(self, node: NodeProto) -> tuple[Value, ...]:
        """Return what the branch of an If makes that its condition, a constant, takes."""
        label, _, operator = _names(node)
        condition = self.values.get(node.input[0]) if node.input else None
        if not isinstance(condition, np.ndarray) or condition.size != 1:
            raise UserError(
                f"{label} ({operator}) cannot be exported: its condition is no constant; write "
                "both branches and choose with torch.where"
            )
        wanted = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        branch = next((a.g for a in node.attribute if a.name == wanted), GraphProto())
        made = [value.name for value in branch.output]
        nodes, names = leading_nodes(branch, *made)
        held = constants(branch, names, self.tensors)
        inside = replace(self, values=self.values | held, names=self.names | names)
        inside.apply_all(nodes)
        if missing := [name for name in made if name not in inside.values]:
            raise UserError(
                f"{label} ({operator}): nothing makes {short(missing[0])}; export it again"
            )
        return tuple(inside.values[name] for name in made)

    def _apply(self, node: NodeProto) -> tuple[Value, ...]:
        """Return what a node makes."""
        label, domain, operator = _names(node)
        for needed in node.input:
            if needed not in self.values:
                raise UserError(
                    f"{label} ({operator}) reads {short(needed)}, which nothing before it makes (a "
                    "cycle, or nodes out of order); export it again"
                )
        attributes = {a.name: _attribute(a) for a in node.attribute}
        inputs = tuple(self.values[needed] for needed in node.input)
        outputs = len([name for name in node.output if name])
        named = enumerate(node.output)
        read = frozenset(index for index, name in named if name in self.names and name)
        file = (self.opset, self.tensors, self.program)
        call = Node(label, operator, inputs, attributes, *file, outputs, read)
        handler = OPERATORS.get(domain + node.op_type)
        if handler is None:
            call.refuse(_unknown(domain, node.op_type))
        try:
            result = handler(call)
        except SymbolError as error:
            call.refuse(str(error))
        except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError):
            call.refuse("its inputs and attributes do not fit together")
        results = result if isinstance(result, tuple) else (result,)
        for each in results:
            if each is not None and not any(each is known for known in inputs):
                size = 4 * each.size if isinstance(each, Symbol) else each.size
                self.tensors.spend(size, label)
        return tuple(_plain(each) if call.is_constant else in_kind(call, each) for each in results)


def _unknown(domain: str, operator: str) -> str:
    """Say why an operator that is not among `OPERATORS` is refused."""
    if domain.startswith("com.microsoft"):
        return "this operator is not supported; give the file before onnxruntime optimised it"
    if domain or onnx.defs.has(operator):
        return "this operator is not supported"
    what = "take gelu with approximate=True" if operator == "Erfc" else "export it without"
    return f"ONNX has no such operator, so that nothing can run the file; {what}"


def constants(graph: GraphProto, names: set[str], tensors: TensorReader) -> dict[str, Value]:
    """Return the tensors of these names that a graph holds."""
    found: dict[str, Value] = {}
    found |= {each.name: tensors.dense(each) for each in graph.initializer if each.name in names}
    for each in graph.sparse_initializer:
        if each.values.name in names:
            found[each.values.name] = tensors.sparse(each)
    return found


def leading_nodes(graph: GraphProto, *outputs: str) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes that lead to `outputs`, in the file's order, and every name that they
    read."""
    makers: dict[str, int] = {}
    held = _held(graph)
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if makers.setdefault(name, index) != index or name in held:
                label = _names(node)[0]
                raise UserError(
                    f"{label} makes {short(name)}, which is there already; export again"
                )
    names, waiting, found = {*outputs}, [*outputs], set()
    while waiting:
        made_by = makers.get(waiting.pop())
        if made_by is None or made_by in found:
            continue
        found.add(made_by)
        fresh = {*graph.node[made_by].input, *_captured(graph.node[made_by])} - names
        names |= fresh
        waiting += fresh
    return [graph.node[index] for index in sorted(found)], names


def _held(graph: GraphProto) -> set[str]:
    """The names of the tensors in a graph. Of two of one name runtimes take one or the other."""
    names = [tensor.name for tensor in graph.initializer]
    names += [tensor.values.name for tensor in graph.sparse_initializer]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{count} of its tensors are called {short(name)}; export it again")
    return set(names)


def _refuse_by_name(nodes: Sequence[NodeProto]) -> None:
    """Refuse operators that are impossible whatever their inputs are. This comes before their
    inputs are prepared, so that the message names pooling as the reason, not the sizes that it is
    given."""
    for node in nodes:
        label, domain, operator = _names(node)
        if reason := ELSEWHERE.get(domain + node.op_type):
            raise UserError(f"{label} ({operator}) cannot be exported: {reason}")


def _names(node: NodeProto) -> tuple[str, str, str]:
    """Return, for messages, the node's name, its domain followed by a full stop, and its
    operator."""
    name = short(node.name) if node.name else f"that makes {short((*node.output, '?')[0])}"
    domain = "" if node.domain in ("", "ai.onnx") else node.domain + "."
    return f"node {name}", domain, short(domain + node.op_type)[1:-1]


def _captured(node: NodeProto) -> Iterator[str]:
    """Return what the branches of a node read of the graph around them, and their own names."""
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for one in inner.node:
                yield from (*one.input, *_captured(one))
            yield from (value.name for value in inner.output)


def _plain(value: Value) -> Value:
    """Return a constant as an array."""
    if isinstance(value, Symbol) and value.constant.all():
        return np.asarray(value.offset, np.float32)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _attribute(attribute: AttributeProto) -> Any:
    """Return the value of a number, numbers, text or tensor; None for kinds that no operator
    takes."""
    fields: dict[int, str] = {
        AttributeProto.FLOAT: "f",
        AttributeProto.INT: "i",
        AttributeProto.STRING: "s",
        AttributeProto.TENSOR: "t",
        AttributeProto.SPARSE_TENSOR: "sparse_tensor",
        AttributeProto.FLOATS: "floats",
        AttributeProto.INTS: "ints",
        AttributeProto.STRINGS: "strings",
    }
    value = getattr(attribute, fields[attribute.type]) if attribute.type in fields else None
    lists = (AttributeProto.FLOATS, AttributeProto.INTS, AttributeProto.STRINGS)
    is_list = attribute.type in lists
    return list(value) if is_list and value is not None else value
