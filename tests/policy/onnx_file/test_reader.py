"""read_onnx: MLPs in every dress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.policy.onnx_file.chains import (
    B0,
    B1,
    GEMM,
    GENERATOR,
    HEAD,
    SHAPE,
    TAIL,
    VECTOR,
    W0,
    W1,
    model,
    saved,
)


def agree_with_onnxruntime(path: Path, observations: np.ndarray, **shape: Any) -> PolicyGraph:
    graph = read_onnx(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    expected = session.run(None, {name: observations})[0]
    flat = observations.reshape(len(observations), -1) if observations.ndim > 1 else observations
    assert np.allclose(graph.forward(flat), expected, rtol=1e-5, atol=2e-6)
    return graph


DRESSES: dict[str, tuple[list[tuple[Any, ...]], dict[str, Any]]] = {
    "gemm": ([*HEAD, *TAIL], {}),
    "gemm, weights as they come": (
        [("Gemm", ["x", W0.T.copy(), B0]), ("Tanh", ["x"]), ("Gemm", ["x", W1.T.copy()])],
        {},
    ),
    "gemm, alpha and beta": (
        [("Gemm", ["x", W0, B0], {"transB": 1, "alpha": 0.5, "beta": -2.0}), *TAIL],
        {},
    ),
    "gemm, scalar bias": ([("Gemm", ["x", W0, np.float32([[0.5]])], GEMM), *TAIL], {}),
    "gemm, the observation on the right": (
        [
            ("Gemm", [W0, "x", B0[:, None].copy()], {"transB": 1}),
            ("Relu", ["x"]),
            ("Gemm", ["x", W1, B1], {"transA": 1, "transB": 1}),
        ],
        {},
    ),
    "matmul and add": (
        [
            ("MatMul", ["x", W0.T.copy()]),
            ("Add", ["x", B0]),
            ("Relu", ["x"]),
            ("MatMul", ["x", W1.T.copy()]),
            ("Add", [B1, "x"]),
            ("Tanh", ["x"]),
        ],
        {},
    ),
    "matmul without bias": (
        [("MatMul", ["x", W0.T.copy()]), ("Relu", ["x"]), ("MatMul", ["x", W1.T.copy()])],
        {},
    ),
    "matmul from the left": (
        [
            ("Transpose", ["x"], {"perm": [1, 0]}),
            ("MatMul", [W0, "x"]),
            ("Add", ["x", B0[:, None].copy()]),
            ("Relu", ["x"]),
            ("MatMul", [W1, "x"]),
            ("Transpose", ["x"]),
        ],
        {},
    ),
    "normaliser": ([("Sub", ["x", VECTOR]), ("Div", ["x", VECTOR[None] + 4]), *HEAD, *TAIL], {}),
    "normaliser, factors": (
        [("Mul", [VECTOR, "x"]), ("Add", [np.float32(2), "x"]), ("Neg", ["x"]), *HEAD, *TAIL],
        {},
    ),
    "constant minus value": ([("Sub", [VECTOR, "x"]), *HEAD, *TAIL], {}),
    "action scaled and clipped": (
        [
            *HEAD,
            *TAIL,
            ("Tanh", ["x"]),
            ("Mul", ["x", np.float32([2, 3])]),
            ("Add", ["x", np.float32([0.5, -1])]),
            ("Clip", ["x", np.float32(-1.5), np.float32(2)]),
        ],
        {},
    ),
    "clipped, then scaled, then clipped": (
        [
            *HEAD,
            *TAIL,
            ("Clip", ["x", np.float32(-1), np.float32(1)]),
            ("Mul", ["x", np.float32([2, 3])]),
            ("Add", ["x", np.float32([0.5])]),
            ("Min", ["x", np.float32([2, 3])]),
            ("Max", [np.float32([-1, -2]), "x"]),
        ],
        {},
    ),
    "clip of one side": ([*HEAD, *TAIL, ("Clip", ["x", "", np.float32(0.5)])], {}),
    "clip of old opsets": (
        [*HEAD, *TAIL, ("Clip", ["x"], {"min": -0.5, "max": 1.0})],
        {"opset": 9},
    ),
    "scaling between layers": (
        [
            *HEAD,
            ("Mul", ["x", np.float32(0.5)]),
            ("Relu", ["x"]),
            ("Add", ["x", np.float32(0.5)]),
            ("Div", ["x", np.float32(4)]),
            ("Gemm", ["x", W1, B1], GEMM),
        ],
        {},
    ),
    "what changes nothing": (
        [
            ("Identity", ["x"]),
            ("Cast", ["x"], {"to": TensorProto.FLOAT}),
            ("Flatten", ["x"]),
            *HEAD,
            ("Dropout", ["x"]),
            *TAIL,
            ("Reshape", ["x", SHAPE]),
        ],
        {},
    ),
    "unknown shapes": ([*HEAD, *TAIL], {"shape": ("batch", "n"), "out_shape": None}),
    "activations that are one operator": (
        [
            *HEAD,
            ("LeakyRelu", ["x"], {"alpha": 0.2}),
            ("Elu", ["x"], {"alpha": 0.7}),
            ("Selu", ["x"]),
            ("Softplus", ["x"]),
            ("Sigmoid", ["x"]),
            TAIL[1],
            ("Gelu", ["x"], {"approximate": "tanh"}),
        ],
        {"opset": 20},
    ),
    "relu after tanh, limits between layers": (
        [
            ("Clip", ["x", np.float32(-1), np.float32(1)]),
            *HEAD,
            ("Tanh", ["x"]),
            ("Relu", ["x"]),
            TAIL[1],
            ("Min", ["x", np.float32(0.5)]),
            ("Tanh", ["x"]),
        ],
        {},
    ),
    "probabilities": ([*HEAD, *TAIL, ("Softmax", ["x"])], {}),
    "batch normalisation": (
        [
            *HEAD,
            ("BatchNormalization", ["x", B0, B0, B0, B0**2]),
            ("Relu", ["x"]),
            ("BatchNormalization", ["x", B0, B0, B0, B0**2], {"epsilon": 0.1}),
            TAIL[1],
        ],
        {},
    ),
    "a learnt slope": ([*HEAD, ("PRelu", ["x", np.float32([0.3])]), TAIL[1]], {}),
    "some of the values": (
        [
            ("Gather", ["x", np.int64([3, -4, 2, 1])], {"axis": 1}),
            ("Slice", ["x", *[np.int64([n]) for n in (-1, -9, 1, -1)]]),
            *HEAD,
            ("Relu", ["x"]),
            ("Gather", ["x", np.int64([5, 0, 1, 1, 2, 4])], {"axis": -1}),
            TAIL[1],
            ("Slice", ["x", *[np.int64([n]) for n in (1, 2**62, 1)]]),
        ],
        {"out_shape": ("batch", 1)},
    ),
    "values reordered as TensorFlow's masks do": (
        [
            (
                "Slice",
                ["x", *map(np.int64, ([0, 10**9], [10**9, -(10**9)], [0, 1], [1, -1]))],
            ),
            *HEAD,
            *TAIL,
        ],
        {},
    ),
    "values reordered as torch's newer exporter does": (
        [
            ("Transpose", ["x"], {"perm": [1, 0]}),
            ("GatherND", ["x", np.int64([[3], [-4], [2], [1]])]),
            ("Transpose", ["x"], {"perm": [1, 0]}),
            *HEAD,
            ("Reshape", ["x", np.int64([-1, 2, 3])]),
            ("Transpose", ["x"], {"perm": [1, 2, 0]}),
            ("GatherND", ["x", np.int64([[1, 0], [0, -1], [0, 0], [1, 1], [0, 1], [1, 2]])]),
            ("Transpose", ["x"], {"perm": [1, 0]}),
            *TAIL,
        ],
        {},
    ),
    "dimensions of one": (
        [
            ("Unsqueeze", ["x", np.int64([1])]),
            ("Reshape", ["x", np.int64([0, 2, -1])]),
            ("Sub", ["x", VECTOR.reshape(2, 2)]),
            ("Reshape", ["x", np.int64([-1, 1, 4])]),
            ("Squeeze", ["x", np.int64([1])]),
            *HEAD,
            *TAIL,
        ],
        {},
    ),
    "one observation at a time": ([*HEAD, *TAIL], {"shape": (1, 4), "out_shape": (1, 2)}),
    "two layers in a row": ([*HEAD, ("Gemm", ["x", W1, B1], GEMM)], {}),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_every_dress_gives_what_onnxruntime_gives(dress: str, tmp_path: Path) -> None:
    nodes, settings_ = DRESSES[dress]
    path = saved(tmp_path, model(*nodes, **settings_))
    count = 1 if settings_.get("shape", "b")[0] == 1 else 50
    observations = GENERATOR.normal(size=(count, 4)).astype(np.float32)
    agree_with_onnxruntime(path, observations)


def test_a_vector_without_batch(tmp_path: Path) -> None:
    nodes = [("MatMul", ["x", W0.T.copy()]), ("Relu", ["x"]), ("MatMul", [W1, "x"])]
    path = saved(tmp_path, model(*nodes, shape=(4,), out_shape=(2,)))
    agree_with_onnxruntime(path, VECTOR)


def test_frames_are_flattened_and_doubles_rounded(tmp_path: Path) -> None:
    path = saved(tmp_path, model(("Flatten", ["x"]), *HEAD, *TAIL, shape=("batch", 2, 2)))
    agree_with_onnxruntime(path, GENERATOR.normal(size=(9, 2, 2)).astype(np.float32))
    w0, b0, w1 = W0.astype(np.float64), B0.astype(np.float64), W1.astype(np.float64)
    nodes = [("Gemm", ["x", w0, b0], GEMM), ("Relu", ["x"]), ("Gemm", ["x", w1], GEMM)]
    path = saved(tmp_path, model(*nodes, kind=TensorProto.DOUBLE))
    agree_with_onnxruntime(path, GENERATOR.normal(size=(9, 4)))


def test_constants_by_node_and_folded(tmp_path: Path) -> None:
    proto = model(("Mul", ["x", "k"]), *HEAD, ("Relu", ["x"]), ("MatMul", ["x", "t"]))
    two = helper.make_node("Constant", [], ["two"], value_float=2.0)
    vector = helper.make_node("Constant", [], ["v"], value=numpy_helper.from_array(VECTOR))
    product = helper.make_node("Mul", ["two", "v"], ["k"])
    matrix = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W1))
    turned = helper.make_node("Transpose", ["w"], ["t"])
    for node in (turned, matrix, product, vector, two):
        proto.graph.node.insert(0, node)
    graph = agree_with_onnxruntime(
        saved(tmp_path, proto), GENERATOR.normal(size=(9, 4)).astype(np.float32)
    )
    assert graph.kept_weights == 36


@pytest.mark.parametrize("linear", [False, True])
def test_sparse_initializers(tmp_path: Path, linear: bool) -> None:
    proto = model(*HEAD, *TAIL)
    weight = np.where(np.abs(W0) > 0.8, W0, 0)
    where = np.flatnonzero(weight) if linear else np.argwhere(weight)
    values = numpy_helper.from_array(weight[weight != 0], "c0")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(where), weight.shape)
    proto.graph.initializer.pop(0)
    proto.graph.sparse_initializer.append(sparse)
    graph = agree_with_onnxruntime(
        saved(tmp_path, proto), GENERATOR.normal(size=(9, 4)).astype(np.float32)
    )
    assert np.array_equal(graph.layers[0].weight, weight)


def test_generic_signals_and_limits_from_the_nodes(tmp_path: Path) -> None:
    nodes = [*HEAD, *TAIL, ("Clip", ["x", np.float32(-1), np.float32(1)])]
    graph = read_onnx(saved(tmp_path, model(*nodes)))
    assert [s.name for s in graph.observation] == ["o0", "o1", "o2", "o3"]
    assert [(s.name, s.low, s.high) for s in graph.action] == [("a0", -1, 1), ("a1", -1, 1)]
    assert (graph.frames, graph.period_s, graph.rig) == (1, 0, None)


def test_nodes_beside_the_policy_are_not_looked_at(tmp_path: Path) -> None:
    proto = model(*HEAD, *TAIL)
    proto.graph.node.append(helper.make_node("Exp", ["v1"], ["value"]))
    proto.graph.output.insert(0, helper.make_tensor_value_info("value", TensorProto.FLOAT, None))
    assert read_onnx(saved(tmp_path, proto)).action_size == 2


def test_what_torch_exports(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Actor(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.std = torch.randn(4), torch.rand(4) + 0.5
            self.network = torch.nn.Sequential(
                torch.nn.Flatten(),
                torch.nn.Linear(4, 8),
                torch.nn.ReLU(),
                torch.nn.Linear(8, 8, bias=False),
                torch.nn.Tanh(),
                torch.nn.Linear(8, 2),
            )

        def forward(self, observation: Any) -> Any:
            normalised = (observation.float() - self.mean) / self.std
            return torch.clamp(torch.tanh(self.network(normalised)) * 2.0 + 0.5, -1, 2)

    path = tmp_path / "torch.onnx"
    axes = {"observation": {0: "batch"}}
    torch.onnx.export(
        Actor(),
        (torch.zeros(1, 4),),
        str(path),
        dynamo=False,
        input_names=["observation"],
        dynamic_axes=axes,
    )
    graph = agree_with_onnxruntime(path, GENERATOR.normal(size=(50, 4)).astype(np.float32))
    assert [(s.scale, s.offset, s.low, s.high) for s in graph.action] == [(2, 0.5, -1, 2)] * 2
