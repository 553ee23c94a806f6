"""A policy's ONNX file in the making, node by node, and what onnxruntime makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.reader import read_onnx

WIDTH = 6
GENERATOR = np.random.default_rng(11)


class File:
    """A file in the making."""

    def __init__(self, **inputs: int) -> None:
        self.inputs = inputs or {"observation": WIDTH}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """The node's output; arrays and numbers among its inputs are constants."""
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        made = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        domain = attributes.pop("domain", "")
        self.nodes.append(helper.make_node(operator, names, made, domain=domain, **attributes))
        return made if outputs > 1 else made[0]

    def dense(self, value: str, outputs: int, inputs: int = WIDTH) -> str:
        weight = GENERATOR.normal(size=(outputs, inputs)) / np.sqrt(inputs)
        return self.add("Gemm", value, weight, GENERATOR.normal(size=outputs) * 0.3, transB=1)

    def relu(self, value: str, outputs: int, inputs: int = WIDTH) -> str:
        return self.add("Relu", self.dense(value, outputs, inputs))

    def save(self, action: str, path: Path, opset: int = 20) -> Path:
        self.nodes.append(helper.make_node("Identity", [action], ["action"]))
        graph = helper.make_graph(
            self.nodes,
            "policy",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
                for name, size in self.inputs.items()
            ],
            [helper.make_empty_tensor_value_info("action")],
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        path.write_bytes(model.SerializeToString())
        return path


def expected_of(path: Path, observations: np.ndarray, sizes: list[int]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    parts = np.split(observations, np.cumsum(sizes)[:-1], axis=1)
    names = [each.name for each in session.get_inputs()]
    found: np.ndarray = session.run(["action"], dict(zip(names, parts, strict=True)))[0]
    return np.asarray(found.reshape(len(observations), -1), np.float64)


def agrees(
    path: Path, sizes: list[int], scale: float = 1.0, tolerance: float = 1e-5
) -> tuple[PolicyGraph, np.ndarray]:
    graph = read_onnx(path)
    observations = (GENERATOR.normal(size=(300, sum(sizes))) * scale).astype(np.float32)
    expected = expected_of(path, observations, sizes)
    assert np.ptp(expected) > 0
    size = max(1.0, np.abs(expected).max())
    assert np.abs(graph.forward(observations) - expected).max() <= tolerance * size
    return graph, observations
