"""Any ONNX policy in: a file becomes a PolicyGraph, or a line that says what stands in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import MAX_WEIGHTS, PolicyGraph, Signal
from sparsectl.policy.model_file import check_model_file
from sparsectl.policy.onnx_file.action import Action, action_of
from sparsectl.policy.onnx_file.chosen import with_choice
from sparsectl.policy.onnx_file.inputs import observations
from sparsectl.policy.onnx_file.lowering import lower
from sparsectl.policy.onnx_file.node import Node, Value
from sparsectl.policy.onnx_file.operators import ELSEWHERE, OPERATORS, in_kind
from sparsectl.policy.onnx_file.output import choose_output
from sparsectl.policy.onnx_file.prepared import MAX_NODES, Limits, prepared, whole_limits
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.state import State, state_of
from sparsectl.policy.onnx_file.symbol import Symbol, SymbolError
from sparsectl.policy.onnx_file.tensors import TensorReader, short
from sparsectl.policy.onnx_file.ticks import Carried, tick_of
from sparsectl.policy.onnx_file.uses import Normaliser
from sparsectl.policy.onnx_file.writer import STATE
from sparsectl.policy.onnx_file.written import read_written
from sparsectl.policy.signals import Signals, generic_signals, parse_json_object, parse_signals

MAX_FILE_BYTES = 16 * MAX_WEIGHTS
"""A value function and whatever else stands in the file is among them."""
OLDEST_OPSET = 7  # before it, elementwise operators broadcast by attribute


def read_onnx(path: Path, output: str | None = None, argmax: bool = False) -> PolicyGraph:
    """Read the policy in an ONNX file; it takes the physical observation and gives the physical
    action, as the file does.

    The file is read as it runs for one observation. The policy is the path from the inputs (their
    values one after another, in the file's order, are the observation) to `output`, by default to
    the output whose name says that it is the actions (`policy.onnx_file.output`); nodes that do not
    lead there (a value function, log probabilities) are not looked at. Scaling before the first
    layer becomes the observation signals' scale and offset; scaling and limits after the last
    become the action's map. `sparsectl.*` metadata gives signals, environment and provenance;
    without it the signals are o0, o1, …, of several inputs NAME0, NAME1, …, and a0, a1, ….
    With `argmax` the action is the index of the greatest of the output's values.

    Raises:
        UserError: not ONNX, truncated, too large, an operator that is not possible (its node and
            name are given), shapes that do not fit, NaN weights.
    """
    check_model_file(path, MAX_FILE_BYTES)
    try:
        model = ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise UserError(f"{path} is not a whole ONNX file; export it again") from error
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused where it matters
            return graph_of(model, path.parent, output, argmax)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def graph_of(
    model: ModelProto, folder: Path, wanted: str | None = None, argmax: bool = False
) -> PolicyGraph:
    """Return the policy in a model whose tensors may be kept in other files of a folder.

    Raises:
        UserError: as `read_onnx`, without a path.
    """
    opset = _opset(model)
    if any(isinstance(text, bytes) for text in _texts(model)):
        raise UserError("it has a name that is not UTF-8; the file is damaged, export it again")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if STATE in metadata and wanted in (None, "action") and not argmax:
        written = read_written(model, TensorReader(folder))
        if written is not None:
            return written
    limits = whole_limits(model)
    model = prepared(model)
    output = _output(model.graph, wanted)
    tick = tick_of(model, output.name, wanted is not None)
    model = model if tick is None else tick.model
    states = () if tick is None else tick.states
    text = metadata.get("sparsectl.signals")
    signals = None
    if text is not None:
        signals = parse_signals(parse_json_object(text, "sparsectl.signals"), "sparsectl.signals")
    written = read_written(model, TensorReader(folder))
    if written is not None and not argmax:
        return written
    model, name = with_choice(model, output.name, argmax)
    output = next(value for value in model.graph.output if value.name == name)
    tensors = TensorReader(folder)
    program = Program(tensors.spend)
    symbol, observed, carried = _run(model.graph, output, opset, tensors, program, states, limits)
    if signals is None:
        signals = generic_signals(len(observed), symbol.size)._replace(observation=observed)
    elif argmax and len(signals.action) > 1:  # those of the values, which are no actions
        signals = signals._replace(action=generic_signals(1, 1).action)
    actions = [action_of(program, symbol, index) for index in range(symbol.size)]
    ends = [*actions, *(Action(int(atom)) for atom in carried.after.atom)]
    layers, normaliser = lower(program, ends, signals.frames, len(observed) if states else None)
    normaliser = normaliser.of_first(len(observed))
    provenance = metadata.get("sparsectl.provenance")
    return PolicyGraph(
        layers,
        **_mapped(signals, actions, normaliser)._asdict(),
        environment=metadata.get("sparsectl.environment"),
        provenance=parse_json_object(provenance, "sparsectl.provenance") if provenance else {},
        reset_state=carried.reset,
    )


def _texts(model: ModelProto) -> Iterator[str | bytes]:
    """Yield every name and value that the reader uses; protobuf gives bytes where they are not
    UTF-8."""
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)
    bodies = (function.node for function in model.functions)
    for node in chain(model.graph.node, *bodies):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (value.name for value in (*model.graph.input, *model.graph.output))
    yield from (tensor.name for tensor in model.graph.initializer)
    yield from (tensor.values.name for tensor in model.graph.sparse_initializer)


def _opset(model: ModelProto) -> int:
    versions = [i.version for i in model.opset_import if i.domain in ("", "ai.onnx")]
    if not model.graph.node or not model.opset_import:
        raise UserError("it is not an ONNX model (it has no nodes or no opset); export it again")
    if not versions:  # none but operators of other domains, such as scikit-learn's
        return OLDEST_OPSET
    if versions[0] < OLDEST_OPSET:
        raise UserError(f"opset {versions[0]} is too old; export it with opset 13 or later")
    if len(model.graph.node) > MAX_NODES:
        raise UserError(f"{len(model.graph.node)} nodes; a policy has at most {MAX_NODES}")
    return int(versions[0])


def _output(graph: GraphProto, wanted: str | None) -> ValueInfoProto:
    name = choose_output([output.name for output in graph.output], wanted)
    outputs: dict[str, ValueInfoProto] = {output.name: output for output in graph.output}
    return outputs[name]


def _run(
    graph: GraphProto,
    output: ValueInfoProto,
    opset: int,
    tensors: TensorReader,
    program: Program,
    states: Sequence[Carried],
    limits: Mapping[str, Limits],
) -> tuple[Symbol, tuple[Signal, ...], State]:
    """Run the nodes that lead to `output` and to the state, in the file's order; the actions, a
    vector, a signal for each number of the observation, and the state."""
    resets = [state.reset for state in states if state.reset]
    nodes, names = _needed(graph, output.name, *(state.output for state in states), *resets)
    values: dict[str, Value] = {"": None}
    for tensor in graph.initializer:
        if tensor.name in names:
            values[tensor.name] = tensors.dense(tensor)
    for sparse in graph.sparse_initializer:
        if sparse.values.name in names:
            values[sparse.values.name] = tensors.sparse(sparse)
    carried = {state.input for state in states}
    inputs = [
        i for i in graph.input if i.name in names and i.name not in values and i.name not in carried
    ]
    shapes = {name: value.shape for name, value in values.items() if isinstance(value, np.ndarray)}
    observed, signals = observations(inputs, nodes, shapes, program, limits)
    values |= observed
    values |= {state.input: program.observe(state.shape, None) for state in states}
    _apply_all(nodes, values, names, opset, tensors, program)
    return (
        _actions(values.get(output.name), output),
        signals,
        state_of(states, values, program),
    )


def _apply_all(
    nodes: Sequence[NodeProto],
    values: dict[str, Value],
    names: set[str],
    opset: int,
    tensors: TensorReader,
    program: Program,
) -> None:
    """Add what the nodes make to `values`, the tensors so far by name."""
    _refuse_by_name(nodes)
    for node in nodes:
        apply = _apply_branch if node.op_type == "If" else _apply
        results = apply(node, values, names, opset, tensors, program)
        values.update((name, r) for name, r in zip(node.output, results, strict=False) if name)


def _apply_branch(
    node: NodeProto,
    values: dict[str, Value],
    names: set[str],
    opset: int,
    tensors: TensorReader,
    program: Program,
) -> tuple[Value, ...]:
    """Return what the branch of an If makes that its condition, a constant, takes."""
    label, _, operator = _names(node)
    condition = values.get(node.input[0]) if node.input else None
    if not isinstance(condition, np.ndarray) or condition.size != 1:
        raise UserError(
            f"{label} ({operator}) cannot be exported: its condition is no constant; write both "
            "branches and choose with torch.where"
        )
    wanted = "then_branch" if condition.reshape(-1)[0] else "else_branch"
    branch = next((a.g for a in node.attribute if a.name == wanted), GraphProto())
    made = [value.name for value in branch.output]
    nodes, inside = _needed(branch, *made)
    inner = dict(values)
    for tensor in branch.initializer:
        inner[tensor.name] = tensors.dense(tensor)
    _apply_all(nodes, inner, names | inside, opset, tensors, program)
    if missing := [name for name in made if name not in inner]:
        raise UserError(f"{label} ({operator}): nothing makes {short(missing[0])}; export it again")
    return tuple(inner[name] for name in made)


def _actions(value: Value, output: ValueInfoProto) -> Symbol:
    """Return the output as a vector of the actions."""
    shown = short(output.name)
    if not isinstance(value, Symbol) or value.constant.all():
        raise UserError(f"output {shown} does not depend on the observation; export again")
    if value.size == 0 or sum(size > 1 for size in value.shape) > 1:
        raise UserError(
            f"output {shown} has the shape {list(value.shape)} for one observation; give one of "
            "[batch, actions]"
        )
    if value.batch is not None and value.size > 1 and value.batch == value.ndim - 1:
        raise UserError(f"output {shown} is not [batch, actions]; transpose it back")
    declared = [d.dim_value for d in output.type.tensor_type.shape.dim]
    stacked = value.shape == (value.size, 1)
    if len(declared) == value.ndim > 1 and not stacked and declared[-1] not in (0, value.shape[-1]):
        raise UserError(
            f"output {shown} is declared with {declared[-1]} values but the network gives "
            f"{value.shape[-1]}; export it again"
        )
    return value.flat()


def _needed(graph: GraphProto, *outputs: str) -> tuple[list[NodeProto], set[str]]:
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


def _apply(
    node: NodeProto,
    values: dict[str, Value],
    names: set[str],
    opset: int,
    tensors: TensorReader,
    program: Program,
) -> tuple[Value, ...]:
    """Return what a node makes. names: every value that the nodes read, and the outputs."""
    label, domain, operator = _names(node)
    for needed in node.input:
        if needed not in values:
            raise UserError(
                f"{label} ({operator}) reads {short(needed)}, which nothing before it makes (a "
                "cycle, or nodes out of order); export it again"
            )
    attributes = {a.name: _attribute(a) for a in node.attribute}
    inputs = tuple(values[needed] for needed in node.input)
    outputs = len([name for name in node.output if name])
    read = frozenset(index for index, name in enumerate(node.output) if name in names and name)
    call = Node(label, operator, inputs, attributes, opset, tensors, program, outputs, read)
    handler = OPERATORS.get(domain + node.op_type)
    if handler is None:
        call.refuse("this operator is not supported")
    try:
        result = handler(call)
    except SymbolError as error:
        call.refuse(str(error))
    except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError):
        call.refuse("its inputs and attributes do not fit together")
    results = result if isinstance(result, tuple) else (result,)
    for each in results:
        if each is not None and not any(each is known for known in inputs):
            tensors.spend(4 * each.size if isinstance(each, Symbol) else each.size, label)
    return tuple(_plain(each) if call.is_constant else in_kind(call, each) for each in results)


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


def _mapped(signals: Signals, actions: list[Action], normaliser: Normaliser) -> Signals:
    """Names, units and limits from the metadata; scales from the nodes, which are what runs."""
    if len(signals.action) != len(actions):
        raise UserError(
            f"sparsectl.signals has {len(signals.action)} action signals but the network gives "
            f"{len(actions)} values; export it again"
        )
    observed = len(signals.observation)
    if observed * signals.frames != len(normaliser.scale):
        raise UserError(
            f"layer 0 takes {len(normaliser.scale)} values but the observation has "
            f"{observed * signals.frames}; make the sizes equal"
        )
    return signals._replace(
        observation=tuple(
            replace(
                signal,
                scale=_as_written(float(normaliser.scale[i]), signal.scale),
                offset=_as_written(float(normaliser.offset[i]), signal.offset),
            )
            for i, signal in enumerate(signals.observation)
        ),
        action=tuple(map(_action, signals.action, actions)),
    )


def _action(signal: Signal, action: Action) -> Signal:
    if action.atom < 0:  # a constant: a neuron without weights has it as its bias
        action = replace(action, scale=1.0, offset=0.0)
    low, high = action.low, action.high
    return replace(
        signal,
        scale=_as_written(action.scale, signal.scale),
        offset=_as_written(action.offset, signal.offset),
        low=signal.low if low == -np.inf else _as_written(low, signal.low),
        high=signal.high if high == np.inf else _as_written(high, signal.high),
    )


def _as_written(value: float, named: float | None) -> float:
    """Return the metadata's number if the node has the same one, rounded to float32."""
    with np.errstate(over="ignore"):
        same = named is not None and np.float32(named) == np.float32(value)
    return named if same and named is not None else value
