"""Files that onnxruntime saved after it joined nodes are exported, and what it joined is run in
float64 as ONNX's own nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

from sparsectl.export.config import ExportConfig
from sparsectl.export.host_c import run_c
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.export.source.unfused import APART, unfused
from sparsectl.policy.onnx_file.reader import graph_of

WIDTH = 6
DOMAINS = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]


def saved(path: Path, nodes: list[NodeProto], shape: tuple[int, ...] = (4,)) -> ModelProto:
    """A file whose nodes make `action` of `x` by numbers of the names that they read."""
    random = np.random.default_rng(2)
    forms: dict[str, tuple[int, ...]] = {
        "w": (4, WIDTH),
        "b": (WIDTH,),
        "c": (WIDTH,),
        "v": (WIDTH, 2),
        "k": (3, 2, 2, 2),
        "kb": (3,),
        "f": (12, 2),
    }
    read = {name for each in nodes for name in each.input}
    tensors = [
        numpy_helper.from_array(random.normal(size=form).astype(np.float32), name)
        for name, form in forms.items()
        if name in read
    ]
    given = helper.make_tensor_value_info("x", 1, ["batch", *shape])
    made = helper.make_tensor_value_info("action", 1, ["batch", 2])
    graph = helper.make_graph(nodes, "policy", [given], [made], tensors)
    model = helper.make_model(graph, ir_version=8, opset_imports=DOMAINS)
    onnx.save(model, path)
    return model


def node(operator: str, given: list[str], made: str, domain: str = "", **more: Any) -> NodeProto:
    return helper.make_node(operator, given, [made], made, domain=domain, **more)


def joined(operator: str, given: list[str], **more: Any) -> list[NodeProto]:
    """A layer, an operator of onnxruntime's own, and a layer."""
    own = node(operator, given, "h", "com.microsoft", **more)
    return [node("Gemm", ["x", "w", "b"], "s"), own, node("MatMul", ["h", "v"], "action")]


def convolved(**more: Any) -> list[NodeProto]:
    return [
        node("FusedConv", ["x", "k", "kb"], "s", "com.microsoft", **more),
        node("Flatten", ["s"], "h"),
        node("MatMul", ["h", "f"], "action"),
    ]


def fused_gemm(**more: Any) -> list[NodeProto]:
    own = node("FusedGemm", ["x", "w", "b"], "h", "com.microsoft", alpha=0.5, beta=2.0, **more)
    return [own, node("MatMul", ["h", "v"], "action")]


VECTOR, IMAGE = (4,), (2, 3, 3)
JOINED: dict[str, tuple[list[NodeProto], tuple[int, ...]]] = {
    **{f"FusedGemm {name}": (fused_gemm(activation=name), VECTOR) for name in ("Relu", "Tanh")},
    "FusedGemm LeakyRelu": (fused_gemm(activation="LeakyRelu", activation_alpha=0.3), VECTOR),
    "FusedConv Relu": (convolved(activation="Relu"), IMAGE),
    "FusedConv Clip": (convolved(activation="Clip", activation_params=[-0.5, 1.0]), IMAGE),
    "FusedConv HardSigmoid": (
        convolved(activation="HardSigmoid", activation_params=[0.3, 0.4]),
        IMAGE,
    ),
    "Gelu": (joined("Gelu", ["s"]), VECTOR),
    "BiasGelu": (joined("BiasGelu", ["s", "c"]), VECTOR),
    "FastGelu": (joined("FastGelu", ["s", "c"]), VECTOR),
    "FastGelu without a bias": (joined("FastGelu", ["s"]), VECTOR),
    "QuickGelu": (joined("QuickGelu", ["s"], alpha=1.5), VECTOR),
}


def by_onnxruntime(model: ModelProto, given: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": given})[0]


@pytest.mark.parametrize("name", JOINED)
def test_a_joined_node_taken_apart_is_the_same(name: str, tmp_path: Path) -> None:
    nodes, shape = JOINED[name]
    model = saved(tmp_path / "model.onnx", nodes, shape)
    apart = unfused(model)
    assert not {each.domain for each in apart.graph.node} - {""}
    given = np.random.default_rng(5).normal(0, 3, (200, *shape)).astype(np.float32)
    expected = by_onnxruntime(model, given)
    flat = given.reshape(len(given), -1)
    policy = graph_of(model, tmp_path)
    for found in (by_onnxruntime(apart, given), policy.forward(flat)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    sizes = (policy.observation_size, 2)
    source = OnnxSource(tmp_path / "model.onnx", None, sizes)
    exact = source.exact(flat)
    np.testing.assert_allclose(exact, expected, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(exact.astype(np.float32), source.run(flat)), "in float64"
    if "Clip" in name or "Hard" in name:
        assert source.thresholds, "where the activation bends is looked for"


def test_every_operator_that_is_taken_apart_is_tried() -> None:
    nodes = [*(node for nodes, _ in JOINED.values() for node in nodes), *NORMALISATIONS.values()]
    tried = {f"{each.domain}.{each.op_type}".strip(".") for each in nodes}
    tried |= {f"ai.onnx.ml.{operator}" for operator, *_ in LINEAR.values()}
    assert set(APART) <= tried


@pytest.mark.parametrize("simple", [False, True])
def test_the_sum_beside_a_normalisation(simple: bool, tmp_path: Path) -> None:
    """A residual network that normalises before each block goes on with the sum itself."""
    operator = "SkipSimplifiedLayerNormalization" if simple else "SkipLayerNormalization"
    given = ["s", "r", "b", "c"]
    skip = helper.make_node(operator, given, ["n", "", "", "t"], domain=MICROSOFT, epsilon=1e-3)
    nodes = [
        node("MatMul", ["x", "w"], "s"),
        node("Relu", ["s"], "r"),
        skip,
        node("Add", ["n", "t"], "h"),
        node("MatMul", ["h", "v"], "each"),
        node("ReduceMean", ["each"], "action", axes=[1], keepdims=0),
    ]
    model = saved(tmp_path / "model.onnx", nodes, (3, 4))
    rows = np.random.default_rng(5).normal(size=(50, 3, 4)).astype(np.float32)
    expected = by_onnxruntime(model, rows)
    flat = rows.reshape(50, -1)
    exact = OnnxSource(tmp_path / "model.onnx", None, (12, 2)).exact(flat)
    for each in (graph_of(model, tmp_path).forward(flat), exact):
        np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-4)


NUMBERS = [round(float(x), 3) for x in np.random.default_rng(7).normal(size=12)]
LABELS = {"classlabels_ints": [0, 1, 2], "intercepts": [0.1, -0.2, 0.3]}
LINEAR: dict[str, tuple[str, str, dict[str, Any]]] = {
    "regressor": ("LinearRegressor", "s", {"targets": 3, "intercepts": [0.1, -0.2, 0.3]}),
    "regressor, no bias": ("LinearRegressor", "s", {"targets": 3}),
    "scores": ("LinearClassifier", "s", LABELS),
    "softmax": ("LinearClassifier", "s", {**LABELS, "post_transform": "SOFTMAX"}),
    "sigmoid": ("LinearClassifier", "s", {**LABELS, "post_transform": "LOGISTIC"}),
    "label": ("LinearClassifier", "label", LABELS),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_model_of_scikit_learn(name: str, tmp_path: Path) -> None:
    """At a thousand times the scale, a softmax has the rounding of the sums before it."""
    operator, result, more = LINEAR[name]
    made = ["s"] if operator == "LinearRegressor" else ["label", "s"]
    linear = helper.make_node(
        operator, ["x"], made, domain="ai.onnx.ml", coefficients=NUMBERS, **more
    )
    given = helper.make_tensor_value_info("x", 1, ["batch", 4])
    end = helper.make_tensor_value_info(result, 7 if result == "label" else 1, None)
    graph = helper.make_graph([linear], "policy", [given], [end])
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)]
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    rows = np.random.default_rng(5).normal(0, 3, (200, 4)).astype(np.float32)
    expected = by_onnxruntime(model, rows).reshape(200, -1)
    source = OnnxSource(path, None, (4, expected.shape[1]))
    np.testing.assert_allclose(source.exact(rows), expected, rtol=1e-5, atol=1e-5)
    assert export_policy(ExportConfig(path, tmp_path / "out", observations=2000))["bit_exact"]


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [9, 12, 13])
def test_a_softmax_of_rows_by_its_opset(operator: str, opset: int, tmp_path: Path) -> None:
    """Before opset 13 it goes over all numbers of an observation, afterwards over the last axis."""
    flat = numpy_helper.from_array(np.array([-1, 12], np.int64), "flat")
    weights = np.random.default_rng(2).normal(size=(12, 2)).astype(np.float32)
    nodes = [
        node(operator, ["x"], "s"),
        node("Reshape", ["s", "flat"], "r"),
        node("MatMul", ["r", "w"], "action"),
    ]
    given = helper.make_tensor_value_info("x", 1, ["batch", 3, 4])
    made = helper.make_tensor_value_info("action", 1, ["batch", 2])
    tensors = [flat, numpy_helper.from_array(weights, "w")]
    graph = helper.make_graph(nodes, "policy", [given], [made], tensors)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    assert export_policy(ExportConfig(path, tmp_path / "out", observations=500))["bit_exact"]


PRODUCTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "turned": {"transB": 1},
    "both turned": {"transA": 1, "transB": 1},
    "scaled": {"alpha": -0.3, "transB": 1},
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_of_onnxruntimes_own_is_run_in_float64(name: str, tmp_path: Path) -> None:
    """Otherwise float32's rounding could not be told from a mistake."""
    nodes = [
        node("MatMul", ["x", "w"], "s"),
        node("FusedMatMul", ["s", "s"], "h", "com.microsoft", **PRODUCTS[name]),
        node("ReduceMean", ["h"], "means", axes=[1], keepdims=0),
        node("MatMul", ["means", "v"], "action"),
    ]
    square = name in ("as it is", "both turned")
    shape = (WIDTH, 4) if square or "transB" in PRODUCTS[name] else (3, 4)
    model = saved(tmp_path / "model.onnx", nodes, shape)
    rows = np.random.default_rng(5).normal(size=(50, *shape)).astype(np.float32)
    expected = by_onnxruntime(model, rows)
    flat = rows.reshape(50, -1)
    source = OnnxSource(tmp_path / "model.onnx", None, (flat.shape[1], 2))
    exact = source.exact(flat)
    for found in (exact, graph_of(model, tmp_path).forward(flat)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert not np.array_equal(exact.astype(np.float32), source.run(flat)), "in float64"


MICROSOFT = "com.microsoft"
NORMALISATIONS: dict[str, NodeProto] = {
    "skip": node("SkipLayerNormalization", ["s", "r", "b", "c", "b"], "h", MICROSOFT),
    "skip, no bias": node("SkipLayerNormalization", ["s", "r", "b", "c"], "h", MICROSOFT),
    "skip, rms": node("SkipSimplifiedLayerNormalization", ["s", "r", "b", "c"], "h", MICROSOFT),
    "rms": node("SimplifiedLayerNormalization", ["s", "b"], "h", epsilon=1e-6),
    "rms, no epsilon": node("SimplifiedLayerNormalization", ["s", "b"], "h"),
}


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_a_normalisation_of_onnxruntimes_own(name: str, tmp_path: Path) -> None:
    """With a skip connection, and without an epsilon, it takes 1e-12."""
    nodes = [
        node("MatMul", ["x", "w"], "s"),
        node("Relu", ["s"], "r"),
        NORMALISATIONS[name],
        node("MatMul", ["h", "v"], "each"),
        node("ReduceMean", ["each"], "action", axes=[1], keepdims=0),
    ]
    model = saved(tmp_path / "model.onnx", nodes, (3, 4))
    given = np.random.default_rng(5).normal(0, 1e-3, (50, 3, 4)).astype(np.float32)
    expected = by_onnxruntime(model, given)
    flat = given.reshape(50, -1)
    found = graph_of(model, tmp_path).forward(flat)
    exact = OnnxSource(tmp_path / "model.onnx", None, (12, 2)).exact(flat)
    for each in (found, exact, by_onnxruntime(unfused(model), given)):
        np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("half", [False, True])
def test_what_onnxruntime_optimised_is_exported(half: bool, tmp_path: Path) -> None:
    """At float16 it casts the observation on its own, and computes in float32."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.Linear(4, 16),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(16, 16),
        torch.nn.GELU(),
        torch.nn.Linear(16, 2),
    )
    given = torch.zeros(1, 4)
    if half:
        network, given = network.half(), given.half()
    first, path, out = (tmp_path / name for name in ("first.onnx", "model.onnx", "out"))
    torch.onnx.export(network.eval(), (given,), first, dynamo=False, opset_version=17)
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(first, options, providers=["CPUExecutionProvider"])
    operators = {each.op_type for each in onnx.load(path).graph.node}
    assert ("Cast" if half else "FusedGemm") in operators
    config = ExportConfig(path, out, encoding="dense", observations=500)
    assert export_policy(config)["bit_exact"]
    rows = np.random.default_rng(6).normal(size=(100, 4)).astype(np.float32)
    with torch.no_grad():
        expected = network.float()(torch.from_numpy(rows)).numpy()
    assert np.abs(run_c(out, rows, 2, out) - expected).max() < 1e-5
