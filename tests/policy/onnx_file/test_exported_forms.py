"""Nodes in the forms that exporters and quantisers write them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from sparsectl.policy.onnx_file.reader import read_onnx
from tests.policy.onnx_file.chains import B0, B1, W0, W1, model, saved

GENERATOR = np.random.default_rng(3)


def by_onnxruntime(path: Path, observations: np.ndarray) -> np.ndarray:
    """One by one, the nodes as they stand."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    rows = [session.run(None, {given.name: row[None]})[0].reshape(-1) for row in observations]
    return np.array(rows)


def test_the_batch_is_what_a_reshape_leaves_open(tmp_path: Path) -> None:
    """tf2onnx reorders Keras' [batch, 1, values] for an LSTM by Reshape to [1, -1, values]."""
    weight, recurrent = GENERATOR.normal(size=(1, 12, 4)), GENERATOR.normal(size=(1, 12, 3))
    proto = model(
        ("Reshape", ["x", np.array([1, -1, 4])]),
        (
            "LSTM",
            ["x", weight.astype(np.float32), recurrent.astype(np.float32)],
            {"hidden_size": 3},
        ),
        ("Squeeze", ["x", np.array([0, 1])]),
        shape=("batch", 1, 4),
        out_shape=("batch", 3),
    )
    path = saved(tmp_path, proto)
    graph = read_onnx(path)
    assert graph.state_size == 6
    x = GENERATOR.normal(size=(20, 1, 4)).astype(np.float32)
    state = graph.initial_state(20)
    found = graph.step(state, x[:, 0])[0]  # each from the file's own initial state
    assert np.abs(found - by_onnxruntime(path, x)).max() < 1e-6


def test_a_quantised_number_of_no_dimensions(tmp_path: Path) -> None:
    step = np.float32(0.01)
    proto = model(
        ("Gemm", ["x", W0, B0], {"transB": 1}),
        ("Mul", ["x", "half"]),
        ("Gemm", ["x", W1, B1], {"transB": 1}),
    )
    constant = helper.make_node("Constant", [], ["number"], value_float=0.5)
    ends = ["scale", "zero"]
    quantise = helper.make_node("QuantizeLinear", ["number", *ends], ["whole"])
    restore = helper.make_node("DequantizeLinear", ["whole", *ends], ["half"])
    for at, node in enumerate((constant, quantise, restore)):
        proto.graph.node.insert(at, node)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(step), "scale"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(np.int8(3)), "zero"))
    path = saved(tmp_path, proto)
    x = GENERATOR.normal(size=(50, 4)).astype(np.float32)
    assert np.abs(read_onnx(path).forward(x) - by_onnxruntime(path, x)).max() < 1e-5


def test_dynamic_quantisation_of_zeros_gives_zeros(tmp_path: Path) -> None:
    """Their range is 0, and onnxruntime then takes a scale of 1."""
    proto = model(
        ("Gemm", ["x", W0, B0], {"transB": 1}),
        ("Relu", ["x"]),
        ("Gemm", ["x", W1, B1], {"transB": 1}),
    )
    path = tmp_path / "quantised.onnx"
    quantize_dynamic(saved(tmp_path, proto), path, weight_type=QuantType.QUInt8)
    x = np.concatenate([np.zeros((1, 4)), GENERATOR.normal(size=(50, 4))]).astype(np.float32)
    found, expected = read_onnx(path).forward(x), by_onnxruntime(path, x)
    assert np.isfinite(found).all()
    assert np.abs(found[0] - expected[0]).max() < 1e-5
    assert np.median(np.abs(found - expected)) < 1e-5
