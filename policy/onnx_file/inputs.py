"""Combine the inputs of an ONNX file that a policy reads into one observation vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import MAX_WIDTH
from sparsectl.policy.onnx_file.prepared import WHOLE_RANGES, Limits
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import Symbol
from sparsectl.policy.onnx_file.tensors import short, type_name
from sparsectl.policy.signals import Signal

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
MAX_INPUTS = 64

_WIDTH_OF_WEIGHTS = ("Gemm", "MatMul", "com.microsoft.FusedGemm", "com.microsoft.FusedMatMul")


def observations(
    inputs: Sequence[ValueInfoProto],
    nodes: Sequence[NodeProto],
    shapes: Mapping[str, tuple[int, ...]],
    program: Program,
    limits: Mapping[str, Limits],
) -> tuple[dict[str, Symbol], tuple[Signal, ...]]:
    """Return a symbol for each input, in the file's order, and a signal for each of their numbers:
    o0, o1, … of a single input, or called by the input's own name if there are several.

    nodes, shapes: those of constants; they determine the size of an input that does not declare it.
    limits: of inputs of whole numbers, by name.

    Raises:
        UserError: there is no input, there are too many, or one is not a vector of floats of a
            known size.
    """
    if not inputs:
        raise UserError("it has no input that leads to the actions; give the policy's observation")
    called = Counter(value.name for value in inputs).most_common(1)[0]
    if called[1] > 1:
        raise UserError(f"{called[1]} of its inputs are called {short(called[0])}; export it again")
    if len(inputs) > MAX_INPUTS:
        raise UserError(f"it has {len(inputs)} inputs; a policy has at most {MAX_INPUTS}")
    sizes = [_shape(value, nodes, shapes) for value in inputs]
    total = sum(int(np.prod(shape, dtype=object)) for shape, _ in sizes)
    if total > MAX_WIDTH:
        shown = short(inputs[0].name) if len(inputs) == 1 else "the inputs"
        raise UserError(f"input {shown} has {total} values; give at most {MAX_WIDTH}")
    if len({batch is None for _, batch in sizes}) > 1:
        shown = ", ".join(f"{short(v.name)} {_declared(v)}" for v in inputs[:5])
        raise UserError(
            f"of its inputs ({shown}) some have a batch and some do not; give all as [batch, n], "
            "and weights as constants"
        )
    symbols, signals = {}, list[Signal]()
    for value, (shape, batch) in zip(inputs, sizes, strict=True):
        symbol = program.observe(shape, batch)
        symbols[value.name] = symbol
        stem = "o" if len(inputs) == 1 else value.name
        alone = symbol.size == 1 and len(inputs) > 1
        names = [stem] if alone else [f"{stem}{i}" for i in range(symbol.size)]
        low, high = limits.get(value.name, (None, None))
        signals += [Signal(name, low=low, high=high) for name in names]
    return symbols, tuple(signals)


def _declared(value: ValueInfoProto) -> list[int | str]:
    dimensions = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dimensions][:8]


def _shape(
    value: ValueInfoProto, nodes: Sequence[NodeProto], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[int, ...], int | None]:
    """Return the input's shape for one observation, and which dimension is the batch, if it is
    open."""
    kind = value.type.tensor_type
    if kind.elem_type not in FLOATS:
        raise UserError(
            f"input {short(value.name)} is of type {type_name(kind.elem_type)}, and nodes use it "
            "before they cast it to float; export it with float32, and cast that to whole numbers "
            "inside where they are needed (torch: x.long())"
            if kind.elem_type in WHOLE_RANGES
            else f"input {short(value.name)} is of type {type_name(kind.elem_type)}, not of type "
            "float; export it with float32"
        )
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    if any(size is not None and size < 1 for size in sizes):
        raise UserError(f"input {short(value.name)} has the shape {sizes[:9]}; export it again")
    if not kind.HasField("shape") or not sizes:
        sizes = [None, None]
    if len(sizes) == 1 and sizes[0] is not None:
        return (sizes[0],), None
    if len(sizes) == 2 and sizes[1] is None and (sizes[0] or 0) > 1:
        return (sizes[0] or 0, 1), 1
    if len(sizes) == 2 and sizes[1] == 1 and (sizes[0] or 0) > 1 and _is_column(value.name, nodes):
        return (sizes[0] or 0, 1), None
    open_batch = sizes[0] != 1
    if len(sizes) == 3 and sizes[1] is None and sizes[2] is not None:
        raise UserError(
            f"input {short(value.name)} takes a sequence of any length; export it for one step, "
            f"[batch, 1, {sizes[2]}], with GRU, LSTM or RNN, or as a cell whose state is an input "
            "and an output (Keras: GRUCell, LSTMCell, SimpleRNNCell)"
        )
    rest = [_width(value.name, nodes, shapes) if size is None else size for size in sizes[1:]]
    if len(sizes) == 1 or sizes[1:].count(None) > 1 or None in rest:
        raise UserError(
            f"input {short(value.name)} does not say how many values an observation has; export "
            "it with its shape"
        )
    return (1, *(size or 0 for size in rest)), 0 if open_batch else None


def _is_column(name: str, nodes: Sequence[NodeProto]) -> bool:
    """Return whether an input [n, 1] is one observation, as the product of weights with it shows,
    not n observations of one value."""
    first = next(node for node in nodes if name in node.input)
    turned = any(a.name == "transB" and a.i for a in first.attribute)
    return first.op_type in _WIDTH_OF_WEIGHTS and first.input[1] == name and not turned


def _width(
    name: str, nodes: Sequence[NodeProto], shapes: Mapping[str, tuple[int, ...]]
) -> int | None:
    """Return the size of an observation from the first constant that it meets, elementwise or as
    weights."""
    known = {name}
    for node in nodes:
        if not known & set(node.input):
            continue
        for other in node.input:
            shape = shapes.get(other, ())
            if node.op_type in _WIDTH_OF_WEIGHTS and len(shape) == 2:
                turned = any(a.name == "transB" and a.i for a in node.attribute)
                return shape[1] if turned or other == node.input[0] else shape[0]
            if node.op_type in ("Add", "Sub", "Mul", "Div") and shape and shape[-1] > 1:
                return shape[-1]
        known |= set(node.output[:1])
    return None
