"""policy.onnx out: a PolicyGraph as Gemm and activation nodes, with all that it is in metadata."""

from __future__ import annotations

import json
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
from sparsectl.export.activations import ACTIVATIONS, Float32
from sparsectl.export.graph import Layer, PolicyGraph

OPSET, GELU_OPSET = 13, 20
IR_VERSION = 8

_SPARSE_OVERHEAD_BYTES = 128  # names, shapes and tags of a sparse tensor's two parts


def write_onnx(graph: PolicyGraph, path: Path) -> None:
    """Write `graph` as ONNX: input "observation" [batch, n], output "action" [batch, m], physical
    units at both ends. The same graph gives the same bytes; `read_onnx` gives the same digest.

    Raises:
        ValueError: the graph's normaliser has not been folded (`export.passes.fold_normaliser`).
        UserError: the file cannot be written.
    """
    encoded = onnx_model(graph).SerializeToString(deterministic=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def onnx_model(graph: PolicyGraph) -> ModelProto:
    """`graph` as a checked ONNX model."""
    if not graph.is_folded:
        raise ValueError("fold the normaliser before writing ONNX")
    built = _Builder(graph)
    model = helper.make_model(
        built.graph,
        producer_name="sparsectl",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", _opset(graph))],
    )
    helper.set_model_props(model, _metadata(graph))
    checker.check_model(model, full_check=False)
    return model


def _opset(graph: PolicyGraph) -> int:
    """The oldest that has all that is needed, for the sake of old runtimes."""
    has_gelu = any(layer.activation.startswith("gelu") for layer in graph.layers)
    return GELU_OPSET if has_gelu else OPSET


def _metadata(graph: PolicyGraph) -> dict[str, str]:
    metadata = {
        "sparsectl.digest": graph.digest,
        "sparsectl.provenance": json.dumps(graph.provenance, sort_keys=True),
        "sparsectl.signals": json.dumps(graph.signals()),
    }
    if graph.environment is not None:
        metadata["sparsectl.environment"] = graph.environment
    return metadata


class _Builder:
    """Strings nodes together; `value` is the name of what the last one makes."""

    def __init__(self, graph: PolicyGraph) -> None:
        self.nodes: list[NodeProto] = []
        self.dense: list[TensorProto] = []
        self.sparse: list[SparseTensorProto] = []
        self.value = "observation"
        for index, layer in enumerate(graph.layers):
            self._layer(f"layer{index}", layer)
        self._action(graph)
        self.nodes[-1].output[0] = "action"
        self.graph: GraphProto = helper.make_graph(
            self.nodes,
            "policy",
            [_batch_of("observation", graph.observation_size)],
            [_batch_of("action", graph.action_size)],
            self.dense,
            sparse_initializer=self.sparse,
        )

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
        if linear.size == 0 or linear.size * item + _SPARSE_OVERHEAD_BYTES >= weight.nbytes:
            return self._constant(name, weight)
        sparse = SparseTensorProto(dims=weight.shape)
        sparse.values.CopyFrom(numpy_helper.from_array(weight.reshape(-1)[linear], name))
        sparse.indices.CopyFrom(numpy_helper.from_array(linear.astype(np.int64), f"{name}.indices"))
        self.sparse.append(sparse)
        return name

    def _layer(self, name: str, layer: Layer) -> None:
        weight = self._weight(f"{name}.weight", layer.weight)
        bias = self._constant(f"{name}.bias", layer.bias)
        self._append("Gemm", name, weight, bias, transB=1)
        self._activation(f"{name}.{layer.activation}", layer)

    def _activation(self, name: str, layer: Layer) -> None:
        if layer.activation == "silu":
            before = self.value
            self._append("Sigmoid", f"{name}.sigmoid")
            self._append("Mul", name, before)
        elif layer.activation == "clip":
            limits = zip(("low", "high"), layer.parameters, strict=True)
            constants = [self._constant(f"{name}.{n}", np.array(v, np.float32)) for n, v in limits]
            self._append("Clip", name, *constants)
        elif layer.activation == "argmax":
            self._append("ArgMax", f"{name}.index", axis=1, keepdims=1)
            self._append("Cast", name, to=TensorProto.FLOAT)
        elif layer.activation == "gelu_tanh":
            self._append("Gelu", name, approximate="tanh")
        elif layer.activation != "identity":
            activation = ACTIVATIONS[layer.activation]
            names = [parameter for parameter, _ in activation.parameters]
            values = dict(zip(names, layer.parameters, strict=True))
            self._append(activation.onnx_operator, name, **values)

    def _action(self, graph: PolicyGraph) -> None:
        """scale * y + offset, then the limits; what does nothing is left out."""
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


def _batch_of(name: str, width: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
