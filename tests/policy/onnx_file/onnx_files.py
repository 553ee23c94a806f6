"""Small ONNX files of policies, as people write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper

HIDDEN = 16


def write_file(
    path: Path,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Any],
    inputs: Mapping[str, Sequence[Any]],
    outputs: Sequence[str] = ("action",),
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """An ONNX file of these nodes; the outputs' shapes are left open."""
    graph = helper.make_graph(
        list(nodes),
        "policy",
        [helper.make_tensor_value_info(n, dtype, list(shape)) for n, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[opset]), path)
    return path


def mlp(
    given: str, made: str, width: int, actions: int = 1, seed: int = 0
) -> tuple[list[NodeProto], dict[str, Any]]:
    """Nodes from `given` to `made` through a hidden layer, and their weights."""
    random = np.random.default_rng(seed)

    def normal(scale: float, *shape: int) -> np.ndarray:
        return random.normal(0, scale, shape).astype(np.float32)

    constants = {
        "w0": normal(width**-0.5, width, HIDDEN),
        "b0": normal(0.1, HIDDEN),
        "w1": normal(HIDDEN**-0.5, HIDDEN, actions),
        "b1": normal(0.1, actions),
    }
    nodes = [
        helper.make_node("MatMul", [given, "w0"], ["product0"]),
        helper.make_node("Add", ["product0", "b0"], ["sum0"]),
        helper.make_node("Relu", ["sum0"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w1"], ["product1"]),
        helper.make_node("Add", ["product1", "b1"], [made]),
    ]
    return nodes, constants


def run_file(path: Path, observations: np.ndarray, output: str | None = None) -> np.ndarray:
    """The file in onnxruntime, [count, actions]."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = None if output is None else [output]
    found: np.ndarray = session.run(names, {session.get_inputs()[0].name: observations})[0]
    return found.reshape(len(observations), -1)
