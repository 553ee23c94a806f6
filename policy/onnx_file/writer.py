"""policy.onnx out: a PolicyGraph as Gemm, Conv and activation nodes, with all that it is in
metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    ValueInfoProto,
    checker,
    helper,
    numpy_helper,
)

from sparsectl.common.files import atomic_path
from sparsectl.policy.activations import ACTIVATIONS, Float32
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph, Segment
from sparsectl.policy.onnx_file.cells import CELL_NODES
from sparsectl.policy.tasks import CHOICE, TASK, heads_of

OPSET, GELU_OPSET = 13, 20
REDUCE_OPSET = 18
"""First opset in which Reduce… takes its axes as an input."""
LAYERS = "sparsectl.layers"
"""Metadata: of each layer a list of segments, [neurons, activation, parameter, …], and of a
convolution its geometry after them. It is there where nodes alone do not say how the layers were
cut; `policy.onnx_file.written` reads it."""

_LEAST, _TASKS = f"{TASK}.least", f"{TASK}.count"
STATE = "sparsectl.state"
"""Metadata of a policy that keeps a state: what it is after a reset, a list of numbers."""
STATE_IN, STATE_OUT = "state_in", "state_out"
"""Names of the state's input and output, beside "observation" and "action"."""

PLAIN = frozenset(
    "identity relu leaky_relu elu selu softplus silu gelu gelu_tanh sigmoid tanh softmax clip "
    "argmax".split()
)
"""Activations whose nodes say by themselves where a layer ends."""
IR_VERSION = 8

_SPARSE_OVERHEAD_BYTES = 128  # names, shapes and tags of a sparse tensor's two parts


def write_onnx(graph: PolicyGraph, path: Path, *, sparse: bool = False) -> None:
    """Write `graph` as ONNX: input "observation" [batch, n], output "action" [batch, m], physical
    units at both ends; of a policy that keeps a state one tick, with "state_in" [batch, s] and
    "state_out" [batch, s] too; of several tasks also `TASK` and `CHOICE`. The same graph gives the
    same bytes; `read_onnx` gives the same digest.

    sparse: weights as sparse_initializer where that is smaller; onnxruntime reads it, onnx's own
    reference and most converters do not.

    Raises:
        ValueError: the graph's normaliser has not been folded (`policy.passes.fold_normaliser`).
        UserError: the file cannot be written.
    """
    encoded = onnx_model(graph, sparse=sparse).SerializeToString(deterministic=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def onnx_model(graph: PolicyGraph, *, sparse: bool = False) -> ModelProto:
    """Return `graph` as a checked ONNX model; `sparse` as in `write_onnx`."""
    if not graph.is_folded:
        raise ValueError("fold the normaliser before writing ONNX")
    built = _Builder(graph, sparse)
    model = helper.make_model(
        built.graph,
        producer_name="sparsectl",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", _opset(graph))],
    )
    helper.set_model_props(model, _metadata(graph))
    checker.check_model(model, full_check=False)
    return model


def is_plain(layer: Layer) -> bool:
    """Return whether ONNX's own nodes describe the layer completely."""
    return not layer.segments and not layer.convolution and layer.activation in PLAIN


def _opset(graph: PolicyGraph) -> int:
    """Return the oldest opset that has all that is needed, for the sake of old runtimes."""
    names = [name for layer in graph.layers for name in layer.activations]
    return GELU_OPSET if any(name.startswith("gelu") for name in names) else OPSET


def _metadata(graph: PolicyGraph) -> dict[str, str]:
    metadata = {
        "sparsectl.digest": graph.digest,
        "sparsectl.provenance": json.dumps(graph.provenance, sort_keys=True),
        "sparsectl.signals": json.dumps(graph.signals()),
    }
    if graph.state_size:
        metadata[STATE] = json.dumps(list(graph.reset_state))
    if graph.state_size or not all(is_plain(layer) for layer in graph.layers):
        metadata[LAYERS] = json.dumps(
            [
                [[part.neurons, part.activation, *part.parameters] for part in layer.parts]
                + ([layer.convolution.described()] if layer.convolution else [])
                for layer in graph.layers
            ]
        )
    if graph.environment is not None:
        metadata["sparsectl.environment"] = graph.environment
    return metadata


class _Builder:
    """Strings nodes together; `value` is the name of what the last one makes."""

    def __init__(self, graph: PolicyGraph, is_sparse: bool) -> None:
        self.is_sparse = is_sparse
        self.nodes: list[NodeProto] = []
        self.dense: list[TensorProto] = []
        self.sparse: list[SparseTensorProto] = []
        self.value = "observation"
        self.opset = _opset(graph)
        given = [_batch_of("observation", graph.observation_size)]
        made = [_batch_of("action", graph.action_size)]
        if graph.state_size:
            given.append(_batch_of(STATE_IN, graph.state_size))
            made.append(_batch_of(STATE_OUT, graph.state_size))
            self._join("Concat", "given", "observation", STATE_IN, axis=1)
        for index, layer in enumerate(graph.layers):
            self._layer(f"layer{index}", layer)
        if graph.state_size:
            values = "action.values"
            self._split("tick", [values, STATE_OUT], [graph.action_size, graph.state_size])
            self._join("Identity", "action.own", values)
        self._action(graph)
        self.nodes[-1].output[0] = "action"
        asked, answered = self._tasks(graph)
        self.graph: GraphProto = helper.make_graph(
            self.nodes,
            "policy",
            given + asked,
            made + answered,
            self.dense,
            sparse_initializer=self.sparse,
        )

    def _tasks(self, graph: PolicyGraph) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
        """Return the input by which tasks are asked for and the output with their choices, if the
        policy is of several."""
        count = len(heads_of(graph.signals()))
        if not count or graph.state_size:
            return [], []
        every = self._wholes(TASK, list(range(count)))
        for name, value in ((_LEAST, 0), (_TASKS, count)):
            self.dense.append(numpy_helper.from_array(np.array(value, np.int64), name))
        # ONNX counts indices below 0 from the end; in C there are no such tasks.
        self._join("Less", f"{TASK}.below", every, _LEAST)
        self._join("Where", f"{TASK}.index", f"{TASK}.below", _TASKS, every)
        self._join("Gather", CHOICE, "action", f"{TASK}.index", axis=1)
        asked = helper.make_tensor_value_info(TASK, TensorProto.INT64, ["tasks"])
        return [asked], [_batch_of(CHOICE, "tasks")]

    def _append(self, operator: str, name: str, *constants: str, **attributes: Any) -> None:
        node = helper.make_node(operator, [self.value, *constants], [name], name, **attributes)
        self.nodes.append(node)
        self.value = name

    def _constant(self, name: str, values: Float32) -> str:
        self.dense.append(numpy_helper.from_array(values, name))
        return name

    def _weight(self, name: str, weight: Float32) -> str:
        linear = np.flatnonzero(weight)
        item = weight.itemsize + linear.itemsize
        is_smaller = linear.size * item + _SPARSE_OVERHEAD_BYTES < weight.nbytes
        if not (self.is_sparse and linear.size and is_smaller):
            return self._constant(name, weight)
        sparse = SparseTensorProto(dims=weight.shape)
        sparse.values.CopyFrom(numpy_helper.from_array(weight.reshape(-1)[linear], name))
        sparse.indices.CopyFrom(numpy_helper.from_array(linear.astype(np.int64), f"{name}.indices"))
        self.sparse.append(sparse)
        return name

    def _layer(self, name: str, layer: Layer) -> None:
        if layer.convolution is not None:
            self._convolution(name, layer, layer.convolution)
            return
        weight = self._weight(f"{name}.weight", layer.weight)
        bias = self._constant(f"{name}.bias", layer.bias)
        self._append("Gemm", name, weight, bias, transB=1)
        if not layer.segments:
            self._activation(f"{name}.{layer.activation}", layer.parts[0])
            return
        sums = [f"{name}.{i}" for i in range(len(layer.segments))]
        self._split(name, sums, [segment.neurons for segment in layer.segments])
        results = []
        for segment, value in zip(layer.segments, sums, strict=True):
            self.value = value
            self._activation(f"{value}.{segment.activation}", segment)
            results.append(self.value)
        self._join("Concat", f"{name}.results", *results, axis=1)

    def _convolution(self, name: str, layer: Layer, convolution: Convolution) -> None:
        """Add a convolution: the vector becomes an image, channel by channel, and the results a
        vector again."""
        pixels, channels = [convolution.height, convolution.width], [convolution.channels]
        first = convolution.channels_first
        image = self._wholes(
            f"{name}.image", [-1, *(channels + pixels if first else pixels + channels)]
        )
        self._append("Reshape", f"{name}.reshaped", image)
        if not first:
            self._append("Transpose", f"{name}.transposed", perm=[0, 3, 1, 2])
        weight = self._constant(f"{name}.weight", kernel_of(layer.weight, convolution))
        bias = self._constant(f"{name}.bias", layer.bias)
        self._append(
            "Conv",
            name,
            weight,
            bias,
            kernel_shape=list(convolution.kernel),
            strides=list(convolution.strides),
            dilations=list(convolution.dilations),
            pads=list(convolution.pads),
        )
        self._append("Transpose", f"{name}.pixels", perm=[0, 2, 3, 1])
        flat = self._wholes(f"{name}.values", [-1, layer.outputs])
        self._append("Reshape", f"{name}.flat", flat)
        self._activation(f"{name}.{layer.activation}", layer.parts[0])

    def _split(self, name: str, parts: list[str], sizes: list[int]) -> None:
        given = self._wholes(f"{name}.sizes", sizes)
        node = helper.make_node("Split", [self.value, given], parts, f"{name}.split", axis=1)
        self.nodes.append(node)

    def _join(self, operator: str, name: str, *values: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, values, [name], name, **attributes))
        self.value = name
        return name

    def _activation(self, name: str, segment: Segment) -> None:
        activation = ACTIVATIONS[segment.activation]
        if segment.activation in SPELLED:
            SPELLED[segment.activation](self, name, segment)
        elif activation.operands > 1:
            runs = [f"{name}.{i}" for i in range(activation.operands)]
            each = segment.neurons // activation.operands
            self._split(name, runs, [each] * activation.operands)
            if segment.activation in CELL_NODES:
                one = self._number(f"{name}.one", 1.0) if "gru" in segment.activation else ""
                CELL_NODES[segment.activation](self._join, name, runs, one)
            else:
                self._join(activation.onnx_operator, name, *runs)
        elif segment.activation != "identity":
            names = [parameter for parameter, _ in activation.parameters]
            values = dict(zip(names, segment.parameters, strict=True))
            self._append(activation.onnx_operator, name, **values)

    def _silu(self, name: str, segment: Segment) -> None:
        before = self.value
        self._append("Sigmoid", f"{name}.sigmoid")
        self._append("Mul", name, before)

    def _clip(self, name: str, segment: Segment) -> None:
        limits = zip(("low", "high"), segment.parameters, strict=True)
        constants = [self._constant(f"{name}.{n}", np.array(v, np.float32)) for n, v in limits]
        self._append("Clip", name, *constants)

    def _argmax(self, name: str, segment: Segment) -> None:
        self._append("ArgMax", f"{name}.index", axis=1, keepdims=1)
        self._append("Cast", name, to=TensorProto.FLOAT)

    def _gelu_tanh(self, name: str, segment: Segment) -> None:
        self._append("Gelu", name, approximate="tanh")

    def _square(self, name: str, segment: Segment) -> None:
        self._join("Mul", name, self.value, self.value)

    def _step(self, name: str, segment: Segment) -> None:
        self._append("Greater", f"{name}.over", self._number(f"{name}.zero", 0.0))
        self._append("Cast", name, to=TensorProto.FLOAT)

    def _choice(self, name: str, segment: Segment) -> None:
        runs = [f"{name}.{i}" for i in range(3)]
        self._split(name, runs, [segment.neurons // 3] * 3)
        truth = self._join("Cast", f"{name}.truth", runs[0], to=TensorProto.BOOL)
        self._join("Where", name, truth, *runs[1:])

    def _hard_swish(self, name: str, segment: Segment) -> None:
        before = self.value
        self._append("HardSigmoid", f"{name}.gate", alpha=1 / 6, beta=0.5)
        self._append("Mul", name, before)

    def _mish(self, name: str, segment: Segment) -> None:
        before = self.value
        self._append("Softplus", f"{name}.softplus")
        self._append("Tanh", f"{name}.gate")
        self._append("Mul", name, before)

    def _quantise(self, name: str, segment: Segment) -> None:
        scale, low, high = segment.parameters
        self._append("Div", f"{name}.quotient", self._number(f"{name}.scale", scale))
        self._append("Round", f"{name}.steps")
        limits = (self._number(f"{name}.low", low), self._number(f"{name}.high", high))
        self._append("Clip", name, *limits)

    def _greatest(self, name: str, segment: Segment) -> None:
        self._reduce("ReduceMax", name)

    def _rms_norm(self, name: str, segment: Segment) -> None:
        values = self.value
        self._join("Mul", f"{name}.squares", values, values)
        self._reduce("ReduceMean", f"{name}.mean_square")
        self._append("Add", f"{name}.stable", self._number(f"{name}.epsilon", *segment.parameters))
        self._append("Sqrt", f"{name}.size")
        self._join("Div", name, values, self.value)

    def _layer_norm(self, name: str, segment: Segment) -> None:
        values = self.value
        self._reduce("ReduceMean", f"{name}.mean")
        self._join("Sub", f"{name}.centred", values, self.value)
        self._rms_norm(name, segment)

    def _reduce(self, operator: str, name: str) -> None:
        if self.opset < REDUCE_OPSET:
            self._append(operator, name, axes=[1], keepdims=1)
        else:
            self._append(operator, name, self._wholes(f"{name}.axes", [1]), keepdims=1)

    def _number(self, name: str, value: float) -> str:
        return self._constant(name, np.array(value, np.float32))

    def _wholes(self, name: str, values: list[int]) -> str:
        self.dense.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _action(self, graph: PolicyGraph) -> None:
        """Add scale * y + offset, then the limits; operations without effect are left out."""
        scale = np.array([s.scale for s in graph.action], np.float32)
        offset = np.array([s.offset for s in graph.action], np.float32)
        low = [-np.inf if s.low is None else s.low for s in graph.action]
        high = [np.inf if s.high is None else s.high for s in graph.action]
        if np.any(scale != 1):
            self._append("Mul", "action.scaled", self._constant("action.scale", scale))
        if np.any(offset != 0):
            self._append("Add", "action.shifted", self._constant("action.offset", offset))
        if np.any(np.isfinite(low)):
            limit = self._constant("action.low", np.array(low, np.float32))
            self._append("Max", "action.from_low", limit)
        if np.any(np.isfinite(high)):
            limit = self._constant("action.high", np.array(high, np.float32))
            self._append("Min", "action.to_high", limit)


SPELLED: dict[str, Callable[[_Builder, str, Segment], None]] = {
    "silu": _Builder._silu,
    "clip": _Builder._clip,
    "argmax": _Builder._argmax,
    "gelu_tanh": _Builder._gelu_tanh,
    "square": _Builder._square,
    "step": _Builder._step,
    "choice": _Builder._choice,
    "hard_swish": _Builder._hard_swish,
    "mish": _Builder._mish,
    "quantise": _Builder._quantise,
    "greatest": _Builder._greatest,
    "rms_norm": _Builder._rms_norm,
    "layer_norm": _Builder._layer_norm,
}
"""Activations that are not one operator of all opsets from `OPSET` on."""


def kernel_of(weight: Float32, convolution: Convolution) -> Float32:
    """Return a layer's weights in ONNX's order: [output channels, channels, rows, columns]."""
    pixels = weight.reshape(len(weight), *convolution.kernel, convolution.channels)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _batch_of(name: str, width: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
