"""Any ONNX MLP in: a file becomes a PolicyGraph, or one line that says what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from sparsectl.common.errors import UserError
from sparsectl.export.activations import Float64
from sparsectl.export.graph import MAX_WEIGHTS, MAX_WIDTH, PolicyGraph, Signal
from sparsectl.export.model_file import check_model_file
from sparsectl.export.onnx_curve import Curve, known_as
from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators import OPERATORS
from sparsectl.export.onnx_operators.registry import Value
from sparsectl.export.onnx_output import choose_output
from sparsectl.export.onnx_stream import (
    BATCH,
    BLOCK,
    COLUMNS,
    ROWS,
    STACKED,
    VECTOR,
    Shared,
    Shifted,
    Stream,
    StreamError,
    finished,
)
from sparsectl.export.onnx_tensors import TensorReader, short
from sparsectl.export.signals import Signals, generic_signals, parse_json_object, parse_signals

MAX_FILE_BYTES = 16 * MAX_WEIGHTS
"""A value function and whatever else stands in the file is among them."""
MAX_NODES = 10_000
OLDEST_OPSET = 7  # before it, elementwise operators broadcast by attribute

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


def read_onnx(path: Path, output: str | None = None) -> PolicyGraph:
    """The policy in an ONNX file; physical observation in, physical action out, as the file has it.

    The policy is the path from the one input to `output`, by default to the output whose name says
    that it is the actions (`export.onnx_output`); nodes that do not lead there (a value function,
    log probabilities) are not looked at. Scaling before the first layer is folded into it; scaling
    and limits after the last become the action's map. `sparsectl.*` metadata gives signals,
    environment and provenance; without it the signals are o0, o1, … and a0, a1, ….

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
            return _graph(model, path, output)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _graph(model: ModelProto, path: Path, wanted: str | None) -> PolicyGraph:
    opset = _opset(model)
    if any(isinstance(text, bytes) for text in _texts(model)):
        raise UserError("it has a name that is not UTF-8; the file is damaged, export it again")
    output = _output(model.graph, wanted)
    stream = _run(model.graph, output.name, opset, TensorReader(path.parent))
    if not stream.layers:
        raise UserError("there is no Gemm or MatMul between input and output; give an MLP")
    declared = [d.dim_value for d in output.type.tensor_type.shape.dim]
    is_flat = len(declared) < 2 or stream.layout == STACKED
    if not is_flat and declared[-1] not in (0, stream.width):
        raise UserError(
            f"output {short(output.name)} is declared with {declared[-1]} values but the network "
            f"gives {stream.width}; export it again"
        )
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    signals = _signals(metadata, stream)
    provenance = metadata.get("sparsectl.provenance")
    return PolicyGraph(
        stream.layers,
        **signals._asdict(),
        environment=metadata.get("sparsectl.environment"),
        provenance=parse_json_object(provenance, "sparsectl.provenance") if provenance else {},
    )


def _texts(model: ModelProto) -> Iterator[str | bytes]:
    """Every name and value the reader looks at; protobuf gives bytes where they are not UTF-8."""
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)
    for node in model.graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (value.name for value in (*model.graph.input, *model.graph.output))
    yield from (tensor.name for tensor in model.graph.initializer)
    yield from (tensor.values.name for tensor in model.graph.sparse_initializer)


def _opset(model: ModelProto) -> int:
    versions = [i.version for i in model.opset_import if i.domain in ("", "ai.onnx")]
    if not model.graph.node or not versions:
        raise UserError("it is not an ONNX model (it has no nodes or no opset); export it again")
    if versions[0] < OLDEST_OPSET:
        raise UserError(f"opset {versions[0]} is too old; export it with opset 13 or later")
    if len(model.graph.node) > MAX_NODES:
        raise UserError(f"{len(model.graph.node)} nodes; a policy has at most {MAX_NODES}")
    return int(versions[0])


def _output(graph: GraphProto, wanted: str | None) -> ValueInfoProto:
    outputs: dict[str, ValueInfoProto] = {output.name: output for output in graph.output}
    return outputs[choose_output(list(outputs), wanted)]


def _run(graph: GraphProto, output: str, opset: int, tensors: TensorReader) -> Stream:
    """Run the nodes that lead to `output`, in the file's order, on a Stream."""
    nodes, names = _needed(graph, output)
    values: dict[str, Value] = {"": None}
    for tensor in graph.initializer:
        if tensor.name in names:
            values[tensor.name] = tensors.dense(tensor)
    for sparse in graph.sparse_initializer:
        if sparse.values.name in names:
            values[sparse.values.name] = tensors.sparse(sparse)
    inputs = [i for i in graph.input if i.name in names and i.name not in values]
    if len(inputs) != 1:
        shown = ", ".join(short(i.name) for i in inputs[:5]) or "none"
        raise UserError(f"it has {len(inputs)} inputs ({shown}); a policy has one, the observation")
    values[inputs[0].name] = _observation(inputs[0])
    for node in nodes:
        results = _apply(node, values, opset, tensors)
        values.update((name, r) for name, r in zip(node.output, results, strict=False) if name)
    return _action_stream(values.get(output), output, tensors)


def _action_stream(value: Value, output: str, tensors: TensorReader) -> Stream:
    action = known_as(value, tensors.spend) if isinstance(value, Curve) else value
    if isinstance(action, (Shared, Shifted)):
        raise UserError(f"output {short(output)} is a logarithm; give the output of the actions")
    if not isinstance(action, Stream):
        raise UserError(f"output {short(output)} does not depend on the observation; export again")
    if action.layout not in (ROWS, VECTOR, BATCH, STACKED):
        raise UserError(f"output {short(output)} is not [batch, actions]; transpose it back")
    try:
        return finished(action, tensors.spend)
    except StreamError as error:
        raise UserError(f"output {short(output)} cannot be exported: {error}") from error


def _needed(graph: GraphProto, output: str) -> tuple[list[NodeProto], set[str]]:
    """The nodes that lead to `output`, in the file's order, and every name they read."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    names, waiting, found = {output}, [output], set()
    while waiting:
        index = makers.get(waiting.pop())
        if index is None or index in found:
            continue
        found.add(index)
        fresh = set(_read(graph.node[index])) - names
        names |= fresh
        waiting += fresh
    return [graph.node[index] for index in sorted(found)], names


def _read(node: NodeProto) -> list[str]:
    """The inputs whose numbers matter: of Expand's second only the shape does."""
    names = list(node.input)
    return names[:1] if node.op_type == "Expand" else names


def _observation(value: ValueInfoProto) -> Stream:
    kind = value.type.tensor_type
    if kind.elem_type not in FLOATS:
        raise UserError(f"input {short(value.name)} is not of type float; export it with float32")
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    if not kind.HasField("shape") or not sizes:
        return Stream(None, ROWS)
    if any(size is not None and size < 1 for size in sizes):
        raise UserError(f"input {short(value.name)} has the shape {sizes[:9]}; export it again")
    if len(sizes) == 1:
        return Stream(sizes[0], VECTOR)
    if len(sizes) == 2 and sizes[1] in (None, 1) and (sizes[0] or 0) > 1:
        return Stream(sizes[0], COLUMNS)
    known = [size for size in sizes[1:] if size is not None]
    width = int(np.prod(known, dtype=object)) if len(known) == len(sizes) - 1 else None
    if width is not None and width > MAX_WIDTH:
        raise UserError(f"input {short(value.name)} has {width} values; give at most {MAX_WIDTH}")
    single = sizes[0] == 1
    if len(sizes) == 2:
        return Stream(width, ROWS, is_single=single)
    return Stream(width, BLOCK, block=tuple(known) if width is not None else (), is_single=single)


def _apply(
    node: NodeProto, values: dict[str, Value], opset: int, tensors: TensorReader
) -> tuple[Value, ...]:
    name = short(node.name) if node.name else f"that makes {short((*node.output, '?')[0])}"
    label = f"node {name}"
    domain = "" if node.domain in ("", "ai.onnx") else node.domain + "."
    handler = OPERATORS.get(domain + node.op_type)
    operator = short(domain + node.op_type)[1:-1]
    for needed in _read(node):
        if needed not in values:
            raise UserError(
                f"{label} ({operator}) reads {short(needed)}, which nothing before it makes (a "
                "cycle, or nodes out of order); export it again"
            )
    attributes = {a.name: _attribute(a) for a in node.attribute}
    inputs = tuple(values[needed] for needed in _read(node))
    outputs = len([name for name in node.output if name])
    call = Node(label, operator, inputs, attributes, opset, tensors, outputs)
    if handler is None:
        call.refuse("this operator is not supported")
    try:
        result = handler(call)
    except StreamError as error:
        call.refuse(str(error))
    return result if isinstance(result, tuple) else (result,)


def _attribute(attribute: AttributeProto) -> Any:
    """The value of a number, numbers, text or tensor; None for kinds that no operator takes."""
    fields: dict[int, str] = {
        AttributeProto.FLOAT: "f",
        AttributeProto.INT: "i",
        AttributeProto.STRING: "s",
        AttributeProto.TENSOR: "t",
        AttributeProto.SPARSE_TENSOR: "sparse_tensor",
        AttributeProto.FLOATS: "floats",
        AttributeProto.INTS: "ints",
    }
    value = getattr(attribute, fields[attribute.type]) if attribute.type in fields else None
    is_list = attribute.type in (AttributeProto.FLOATS, AttributeProto.INTS)
    return list(value) if is_list and value is not None else value


def _signals(metadata: dict[str, str], stream: Stream) -> Signals:
    """Names, units and limits from the metadata; scales from the nodes, which are what runs."""
    text = metadata.get("sparsectl.signals")
    observations, actions = stream.layers[0].inputs, stream.layers[-1].results
    if text is None:
        signals = generic_signals(observations, actions)
    else:
        signals = parse_signals(parse_json_object(text, "sparsectl.signals"), "sparsectl.signals")
    if len(signals.action) != actions:
        raise UserError(
            f"sparsectl.signals has {len(signals.action)} action signals but the network gives "
            f"{actions} values; export it again"
        )
    return signals._replace(
        observation=tuple(replace(s, scale=1.0, offset=0.0) for s in signals.observation),
        action=tuple(_action(s, stream, index) for index, s in enumerate(signals.action)),
    )


def _action(signal: Signal, stream: Stream, index: int) -> Signal:
    scale, offset = _at(stream.scale, index), _at(stream.offset, index)
    low, high = _at(stream.low, index), _at(stream.high, index)
    return replace(
        signal,
        scale=1.0 if scale is None else _as_written(scale, signal.scale),
        offset=0.0 if offset is None else _as_written(offset, signal.offset),
        low=signal.low if low is None else _as_written(low, signal.low),
        high=signal.high if high is None else _as_written(high, signal.high),
    )


def _at(values: Float64 | None, index: int) -> float | None:
    return None if values is None else float(values[index if values.size > 1 else 0])


def _as_written(value: float, named: float | None) -> float:
    """The metadata's number where the node has the same one, rounded to float32."""
    with np.errstate(over="ignore"):
        same = named is not None and np.float32(named) == np.float32(value)
    return named if same and named is not None else value
