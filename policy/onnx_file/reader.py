"""Any ONNX policy in: a file becomes a PolicyGraph, or a line that says what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, ValueInfoProto

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import MAX_WEIGHTS, PolicyGraph, Signal
from sparsectl.policy.model_file import check_model_file
from sparsectl.policy.onnx_file.action import Action, action_of
from sparsectl.policy.onnx_file.applied import Scope, constants, leading_nodes
from sparsectl.policy.onnx_file.chosen import with_choice
from sparsectl.policy.onnx_file.functions import MAX_NODES
from sparsectl.policy.onnx_file.inputs import observations
from sparsectl.policy.onnx_file.lowering import lower
from sparsectl.policy.onnx_file.node import Value
from sparsectl.policy.onnx_file.output import choose_output
from sparsectl.policy.onnx_file.prepared import Limits, prepared, whole_limits
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.state import State, state_of
from sparsectl.policy.onnx_file.symbol import Symbol
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
    nodes, names = leading_nodes(graph, output.name, *(state.output for state in states), *resets)
    values = {"": None} | constants(graph, names, tensors)
    carried = {state.input for state in states}
    inputs = [
        i for i in graph.input if i.name in names and i.name not in values and i.name not in carried
    ]
    shapes = {name: value.shape for name, value in values.items() if isinstance(value, np.ndarray)}
    observed, signals = observations(inputs, nodes, shapes, program, limits)
    values |= observed
    values |= {state.input: program.observe(state.shape, None) for state in states}
    Scope(values, names, opset, tensors, program).apply_all(nodes)
    return (
        _actions(values.get(output.name), output),
        signals,
        state_of(states, values, program),
    )


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
