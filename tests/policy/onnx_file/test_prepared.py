"""Functions of the file's own, and inputs of whole numbers, are read as onnxruntime runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import (
    AttributeProto,
    FunctionProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.host_c import run_c
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.policy.load import load_acting
from sparsectl.policy.onnx_file.reader import graph_of, read_onnx

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
DTYPES: dict[int, Any] = {
    TensorProto.BOOL: np.bool_,
    TensorProto.UINT8: np.uint8,
    TensorProto.INT8: np.int8,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
}


def model_of(
    nodes: list[NodeProto],
    kind: int,
    shape: list[Any],
    functions: list[FunctionProto] | None = None,
) -> ModelProto:
    """A file that takes `x` and makes `h`, of four values, of which a layer makes two actions."""
    random = np.random.default_rng(3)
    tensors = [
        numpy_helper.from_array(random.normal(size=(4, 2)).astype(np.float32), "w"),
        numpy_helper.from_array(np.array([-1, 4], np.int64), "flat"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([4], np.int64), "four"),
    ]
    last = [helper.make_node("MatMul", ["h", "w"], ["action"])]
    given = helper.make_tensor_value_info("x", kind, shape)
    made = helper.make_tensor_value_info("action", TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph([*nodes, *last], "policy", [given], [made], tensors)
    return helper.make_model(graph, ir_version=8, opset_imports=OPSETS, functions=functions or [])


def to_float(given: str, made: str) -> NodeProto:
    return helper.make_node("Cast", [given], [made], to=TensorProto.FLOAT)


MOVED: dict[str, tuple[list[Any], list[NodeProto]]] = {
    "cast at once": (["batch", 4], [to_float("x", "h")]),
    "an image turned first": (
        ["batch", 2, 2],
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            helper.make_node("Reshape", ["t", "flat"], ["r"]),
            to_float("r", "h"),
        ],
    ),
    "its size is looked at": (
        ["batch", 2, 2],
        [
            helper.make_node("Shape", ["x"], ["all"], end=1),
            helper.make_node("Concat", ["all", "four"], ["sizes"], axis=0),
            to_float("x", "f"),
            helper.make_node("Reshape", ["f", "sizes"], ["h"]),
        ],
    ),
    "cast to double": (
        ["batch", 4],
        [helper.make_node("Cast", ["x"], ["d"], to=TensorProto.DOUBLE), to_float("d", "h")],
    ),
}


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("form", MOVED)
def test_an_input_of_whole_numbers(form: str, kind: int, tmp_path: Path) -> None:
    shape, nodes = MOVED[form]
    model = model_of(nodes, kind, shape)
    policy = graph_of(model, tmp_path)
    low, high = (0, 2) if kind == TensorProto.BOOL else (0, 128)
    given = np.random.default_rng(4).integers(low, high, (20, 4)).astype(DTYPES[kind])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, {"x": given.reshape(20, *shape[1:])})[0]
    np.testing.assert_allclose(policy.forward(given.astype(np.float32)), expected, 1e-5, 1e-5)
    limits: dict[int, Any] = {
        TensorProto.BOOL: (0, 1),
        TensorProto.UINT8: (0, 255),
        TensorProto.INT8: (-128, 127),
    }
    found = {(signal.low, signal.high) for signal in policy.observation}
    assert found == {limits.get(kind, (None, None))}


def test_the_c_takes_the_bytes_of_an_image_as_numbers(tmp_path: Path) -> None:
    path, out = tmp_path / "model.onnx", tmp_path / "out"
    model = model_of(MOVED["an image turned first"][1], TensorProto.UINT8, ["batch", 2, 2])
    path.write_bytes(model.SerializeToString())
    result = export_policy(ExportConfig(path, out, encoding="dense-int8", observations=200))
    assert result["inputs_from"] == "limits"
    given = np.random.default_rng(5).integers(0, 256, (50, 4)).astype(np.uint8)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": given.reshape(50, 2, 2)})[0]
    found = run_c(out, given.astype(np.float32), 2, out)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Add", ["x", "one"], ["s"]), to_float("s", "h")],
        [helper.make_node("Div", ["x", "one"], ["s"]), to_float("s", "h")],
        [helper.make_node("Gather", ["flat", "x"], ["s"]), to_float("s", "h")],
    ],
    ids=["sum", "quotient", "place"],
)
def test_whole_numbers_that_are_worked_with_are_refused(
    nodes: list[NodeProto], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="type INT64, and nodes use it before they cast it"):
        graph_of(model_of(nodes, TensorProto.INT64, ["batch", 4]), tmp_path)


def function(name: str, *calls: str, times: int = 1) -> FunctionProto:
    """Calls of other functions one after another, or a doubling."""
    names = [f"v{index}" for index in range(len(calls) * times)]
    nodes = [
        helper.make_node(call, [given], [made], domain="mine")
        for call, given, made in zip(calls * times, ["a", *names], names, strict=False)
    ] or [helper.make_node("Add", ["a", "a"], ["b"])]
    nodes[-1].output[0] = "b"
    return helper.make_function("mine", name, ["a"], ["b"], nodes, OPSETS)


def calling(*functions: FunctionProto) -> ModelProto:
    first = functions[0].name
    nodes = [helper.make_node(first, ["x"], ["h"], domain="mine")]
    return model_of(nodes, TensorProto.FLOAT, ["batch", 4], list(functions))


def test_functions_of_the_file_are_read(tmp_path: Path) -> None:
    model = calling(function("Four", "Twice", "Twice"), function("Twice"))
    given = np.random.default_rng(4).normal(size=(20, 4)).astype(np.float32)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": given})[0]
    np.testing.assert_allclose(graph_of(model, tmp_path).forward(given), expected, 1e-6, 1e-6)


def bent(name: str, domain: str, default: float | None = None, opset: int = 17) -> FunctionProto:
    """A leaky ReLU whose slope is an attribute of the function's own, with a default or without."""
    node = helper.make_node("LeakyRelu", ["a"], ["b"])
    node.attribute.add(name="alpha", ref_attr_name="slope", type=AttributeProto.FLOAT)
    names = ["slope"] if default is None else []
    held = [] if default is None else [helper.make_attribute("slope", default)]
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_function(domain, name, ["a"], ["b"], [node], opsets, names, held)


@pytest.mark.parametrize("given", [None, 0.25])
@pytest.mark.parametrize("opset", [16, 17])
def test_a_functions_attribute_has_its_default(
    given: float | None, opset: int, tmp_path: Path
) -> None:
    """onnx's own inliner drops it, and the operator's default would take its place."""
    more = {} if given is None else {"slope": given}
    call = helper.make_node("Bent", ["x"], ["h"], domain="mine", **more)
    body = bent("Bent", "mine", 0.75, opset)
    model = model_of([call], TensorProto.FLOAT, ["batch", 4], [body])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    rows = np.random.default_rng(4).normal(size=(20, 4)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": rows})[0]
    np.testing.assert_allclose(read_onnx(path).forward(rows), expected, 1e-6, 1e-6)
    source = OnnxSource(path, None, (4, 2))
    np.testing.assert_allclose(source.exact(rows), expected, 1e-6, 1e-6)


@pytest.mark.parametrize(("name", "domain"), [("Selu", ""), ("Gelu", "com.microsoft")])
def test_a_function_with_the_name_of_an_operator(name: str, domain: str, tmp_path: Path) -> None:
    """onnxruntime takes the operator, whatever the function says."""
    call = helper.make_node(name, ["x"], ["h"], domain=domain)
    model = model_of([call], TensorProto.FLOAT, ["batch", 4], [bent(name, domain, 0.75)])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=f"other actions for the file as it is.*{name}"):
        export_policy(ExportConfig(path, tmp_path / "out", observations=200))


def test_a_function_of_an_opset_that_cannot_be_converted(tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["a"], ["b"])
    body = helper.make_function("mine", "Soft", ["a"], ["b"], [node], [helper.make_opsetid("", 11)])
    call = helper.make_node("Soft", ["x"], ["h"], domain="mine")
    model = model_of([call], TensorProto.FLOAT, ["batch", 4], [body])
    with pytest.raises(UserError, match="'mine.Soft' is written in another opset"):
        graph_of(model, tmp_path)


@pytest.mark.parametrize(
    ("functions", "why"),
    [
        ([function("A", "B"), function("B", "A")], "contain one another"),
        ([function("A", "A")], "contain one another"),
        (
            [*(function(f"F{i}", f"F{i + 1}", times=2) for i in range(40)), function("F40")],
            "1099511627777 nodes; a policy has at most",
        ),
    ],
    ids=["a ring", "itself", "a bomb"],
)
def test_functions_without_an_end_are_refused(
    functions: list[FunctionProto], why: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=why):
        graph_of(calling(*functions), tmp_path)


def test_a_cell_inside_a_function_keeps_its_state(tmp_path: Path) -> None:
    """Both as it is exported and as it acts on the host, where a step of onnxruntime forgets it."""
    random = np.random.default_rng(3)
    cell = helper.make_node("GRU", ["a", "gw", "gr"], ["", "b"], hidden_size=4)
    body = helper.make_function("mine", "Cell", ["a", "gw", "gr"], ["b"], [cell], OPSETS)
    nodes = [
        helper.make_node("Unsqueeze", ["x", "front"], ["wide"]),
        helper.make_node("Cell", ["wide", "gw", "gr"], ["state"], domain="mine"),
        helper.make_node("Squeeze", ["state", "front"], ["h"]),
    ]
    model = model_of(nodes, TensorProto.FLOAT, [1, 4], [body])
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "front"))
    for name in ("gw", "gr"):
        numbers = random.normal(size=(1, 12, 4)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(numbers, name))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert read_onnx(path).state_size == 4
    assert load_acting(path).recurrent is not None


@pytest.mark.parametrize("is_column", [True, False])
def test_a_column_and_a_batch_of_single_values(is_column: bool, tmp_path: Path) -> None:
    """Which of the two [4, 1] is, the product with it shows."""
    numbers = np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)
    if is_column:
        product = helper.make_node("MatMul", ["w", "x"], ["s"])
        tensor, made = numpy_helper.from_array(numbers, "w"), [2, 1]
    else:
        product = helper.make_node("MatMul", ["x", "w"], ["s"])
        tensor, made = numpy_helper.from_array(numbers[:, :1].T.copy(), "w"), [4, 2]
    nodes = [product, helper.make_node("Tanh", ["s"], ["action"])]
    ends = [helper.make_tensor_value_info("x", 1, [4, 1])]
    ends.append(helper.make_tensor_value_info("action", 1, made))
    graph = helper.make_graph(nodes, "policy", ends[:1], ends[1:], [tensor])
    path = tmp_path / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, ir_version=8, opset_imports=OPSETS[:1]).SerializeToString()
    )
    given = np.random.default_rng(4).normal(size=(4, 1)).astype(np.float32)
    rows = given.reshape(1, 4) if is_column else given
    expected = onnxruntime.InferenceSession(path).run(None, {"x": given})[0].reshape(len(rows), 2)
    for found in (read_onnx(path).forward(rows), load_acting(path).act(rows)):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    config = ExportConfig(path, tmp_path / "out", encoding="dense", observations=200)
    assert export_policy(config)["bit_exact"]
