"""Each operator that a policy may hold, alone behind a layer, at old and new opsets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from sparsectl.policy.onnx_file.reader import read_onnx

OPSETS = (11, 13, 17, 20, 24)
WIDTH = 4
VECTOR = np.float32([0.5, -2.0, 3.0, 1.5])
SQUARE = np.float32([[0.4, -1, 0, 0.2], [0, 0.7, 0.1, 0], [1.1, 0, -0.3, 0], [0, 0.5, 0, 0.9]])


@dataclass(frozen=True)
class Operator:
    """A node on the value "h"; what else it reads are constants."""

    kind: str
    constants: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    since: int = 11
    twice: bool = False
    """It reads "h" two times."""


ALONE = {
    "Gemm": Operator("Gemm", (SQUARE, VECTOR), {"transB": 1}),
    "MatMul": Operator("MatMul", (SQUARE,)),
    **{kind: Operator(kind, (VECTOR,)) for kind in ("Add", "Sub", "Mul", "Div")},
    **{kind: Operator(kind) for kind in ("Relu", "Selu", "Softplus", "Sigmoid", "Tanh", "Neg")},
    "LeakyRelu": Operator("LeakyRelu", attributes={"alpha": 0.1}),
    "Elu": Operator("Elu", attributes={"alpha": 0.7}),
    "Gelu": Operator("Gelu", since=20),
    "Gelu by tanh": Operator("Gelu", attributes={"approximate": "tanh"}, since=20),
    "Swish": Operator("Swish", since=24),
    "Clip": Operator("Clip", (np.float32(-1), np.float32(0.5))),
    "Concat": Operator("Concat", attributes={"axis": -1}, twice=True),
    "Slice": Operator("Slice", (np.int64([1]), np.int64([3]), np.int64([1]))),
    "Reshape": Operator("Reshape", (np.int64([-1, WIDTH]),)),
    "Flatten": Operator("Flatten", attributes={"axis": 1}),
    "Identity": Operator("Identity"),
    "Cast": Operator("Cast", attributes={"to": onnx.TensorProto.FLOAT}),
    "Softmax": Operator("Softmax", attributes={"axis": -1}),
    "ArgMax": Operator("ArgMax", attributes={"axis": -1}),
}
OUTPUT_TYPE = {"ArgMax": onnx.TensorProto.INT64}


def write(operator: Operator, opset: int, path: Path) -> None:
    names = [f"c{index}" for index in range(len(operator.constants))]
    read = ["h", *(["h"] if operator.twice else []), *names]
    nodes = [
        helper.make_node("Gemm", ["observation", "first"], ["h"]),
        helper.make_node(operator.kind, read, ["action"], **operator.attributes),
    ]
    constants = dict(zip(names, operator.constants, strict=True)) | {"first": SQUARE}
    kind = OUTPUT_TYPE.get(operator.kind, onnx.TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", onnx.TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("action", kind, ["batch", None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)


@pytest.mark.parametrize("name", ALONE)
def test_an_operator_alone(name: str, tmp_path: Path) -> None:
    operator = ALONE[name]
    observations = np.random.default_rng(0).normal(0, 2, (200, WIDTH)).astype(np.float32)
    for opset in (each for each in OPSETS if each >= operator.since):
        path = tmp_path / f"{opset}.onnx"
        write(operator, opset, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        expected = session.run(None, {"observation": observations})[0]
        found = read_onnx(path).forward(observations)
        assert np.abs(found - expected.reshape(found.shape)).max() <= 1e-6 * np.ptp(expected)
