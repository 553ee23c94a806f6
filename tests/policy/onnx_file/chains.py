"""Chains of nodes as ONNX models, as the reader's tests write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GENERATOR = np.random.default_rng(5)
W0 = GENERATOR.normal(size=(6, 4)).astype(np.float32)
B0 = GENERATOR.normal(size=6).astype(np.float32)
W1 = GENERATOR.normal(size=(2, 6)).astype(np.float32)
B1 = GENERATOR.normal(size=2).astype(np.float32)
VECTOR = np.array([0.5, -2, 3, 0.25], np.float32)
SHAPE = np.array([-1, 2], np.int64)


def model(
    *nodes: tuple[Any, ...],
    shape: tuple[Any, ...] = ("batch", 4),
    out_shape: tuple[Any, ...] | None = ("batch", 2),
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model from (operator, inputs, attributes): "x" is what the node before makes; arrays are
    initializers."""
    made, constants, value = [], [], "observation"
    for index, (operator, inputs, *attributes) in enumerate(nodes):
        names = []
        for given_input in inputs:
            if isinstance(given_input, np.ndarray | np.generic):
                constants.append(
                    numpy_helper.from_array(np.asarray(given_input), f"c{len(constants)}")
                )
                names.append(constants[-1].name)
            else:
                names.append(value if given_input == "x" else given_input)
        value = "action" if index == len(nodes) - 1 else f"v{index}"
        extra = attributes[0] if attributes else {}
        made.append(helper.make_node(operator, names, [value], f"{operator}_{index}", **extra))
    graph = helper.make_graph(
        made,
        "mlp",
        [helper.make_tensor_value_info("observation", kind, shape)],
        [helper.make_tensor_value_info("action", kind, out_shape)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(tmp_path: Path, proto: onnx.ModelProto) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


GEMM = {"transB": 1}
TAIL = [("Relu", ["x"]), ("Gemm", ["x", W1, B1], GEMM)]
HEAD = [("Gemm", ["x", W0, B0], GEMM)]
