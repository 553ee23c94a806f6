"""What float32's rounding alone explains is no reason to refuse a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.common.signal_ranges import Pair
from sparsectl.export.config import ExportConfig
from sparsectl.export.judged import DEFAULT_ERROR
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.policy.load import load
from tests.policy.onnx_file.onnx_files import write_file
from tests.policy.onnx_file.recurrent_models import cell_model
from tests.tools import need

node = helper.make_node


def exported(path: Path, encoding: str = "dense", **settings: Any) -> dict[str, Any]:
    """Export a file beside itself, and return what the proof found."""
    config = ExportConfig(path, path.parent / "policy", encoding=encoding, vectors=4, **settings)
    return export_policy(config)


def write_network(path: Path, seed: int) -> tuple[Path, int]:
    """Write a network of three layers whose biases and last weights are of any size, and return its
    observation size; the sums are Gemm's, or MatMul's and Add's."""
    random = np.random.default_rng(seed)
    size, width = int(random.integers(1, 12)), int(random.choice([8, 32, 64, 128, 256]))
    activation = str(random.choice(["Tanh", "Relu", "Sigmoid", "Elu"]))
    sizes = [size, width, width, int(random.integers(1, 4))]
    nodes, constants, x = [], {}, "x"
    for k, (taken, made) in enumerate(zip(sizes, sizes[1:], strict=False)):
        weight = random.normal(size=(made, taken)) / np.sqrt(taken)
        weight *= 10 ** random.uniform(-3, 0) if k == 2 else 1.0
        bias = random.normal(size=made) * 10 ** random.uniform(-4, 1)
        constants |= {f"w{k}": weight.astype(np.float32), f"b{k}": bias.astype(np.float32)}
        y = "action" if k == 2 else f"y{k}"
        if seed % 2:
            nodes.append(node("Gemm", [x, f"w{k}", f"b{k}"], [y], transB=1))
        else:
            constants[f"w{k}"] = constants[f"w{k}"].T.copy()
            nodes.append(node("MatMul", [x, f"w{k}"], [f"products{k}"]))
            nodes.append(node("Add", [f"products{k}", f"b{k}"], [y]))
        if k < 2:
            nodes.append(node(activation, [y], [f"z{k}"]))
            x = f"z{k}"
    return write_file(path, nodes, constants, {"x": ["b", size]}), size


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-4, 1e-2, 1.0, 30.0]))
def test_a_bias_that_outweighs_its_products(seed: int, scale: float) -> None:
    """As in a policy that has hardly been trained: every partial sum rounds by as much as the bias
    does."""
    with tempfile.TemporaryDirectory() as folder:
        path, size = write_network(Path(folder) / "model.onnx", seed)
        policy = load(path)
        source = OnnxSource(path, None, policy.sizes)
    observations = np.random.default_rng(seed).normal(size=(100, size)) * scale
    observations = observations.astype(np.float32)
    exact = source.exact(observations)
    allowed = DEFAULT_ERROR["float32"] * np.abs(exact).max(axis=0)
    allowed = np.maximum(allowed, source.rounding(observations))
    assert (np.abs(policy.forward(observations) - exact) <= allowed).all()


def test_a_probability_that_float32_does_not_know(tmp_path: Path) -> None:
    need("gcc")
    weight = np.array([[1, 0, -1]], np.float32)
    constants = {"w": weight, "b": np.array([100, 0, -100], np.float32)}
    nodes = [node("Gemm", ["x", "w", "b"], ["logits"]), node("Softmax", ["logits"], ["action"])]
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 1]})
    result = exported(path, encoding="dense", range=(Pair(-1.0, 1.0),), observations=300)
    assert result["bit_exact"] and 0 < result["max_abs_error"]["numpy"] < 1e-40


def test_a_chaotic_network_parts_from_itself(tmp_path: Path) -> None:
    """onnxruntime's own run is as far from float64 as the policy is, after some hundred ticks."""
    need("gcc")
    model = cell_model("RNN", 6, units=24)
    for tensor in model.graph.initializer:
        if factor := {"W": 0.3, "R": 2.0, "V": 0.1}.get(tensor.name):
            scaled = (factor * numpy_helper.to_array(tensor)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    result = exported(path, encoding="csr", range=(Pair(-1.0, 1.0),), observations=1000)
    errors = result["max_abs_error"]
    assert result["bit_exact"] and not result["within_error"]
    assert 0.1 < errors["numpy"] < 2 * errors["source"]


def write_double(path: Path, mean: float, deviation: float) -> Path:
    """Write a network in float64 with a normaliser."""
    constants = {"mean": np.array([mean]), "std": np.array([deviation]), "w": np.array([[3.0]])}
    constants |= {"low": np.array(-10.0), "high": np.array(10.0)}
    nodes = [
        node("Sub", ["x", "mean"], ["centred"]),
        node("Div", ["centred", "std"], ["scaled"]),
        node("Clip", ["scaled", "low", "high"], ["clipped"]),
        node("MatMul", ["clipped", "w"], ["sum"]),
        node("Tanh", ["sum"], ["action"]),
    ]
    return write_file(path, nodes, constants, {"x": ["b", 1]}, dtype=TensorProto.DOUBLE)


def test_numbers_of_a_file_in_float64_that_float32_rounds(tmp_path: Path) -> None:
    """A mean of 101,326 is kept to a 128th, the 20,000th part of the deviation."""
    need("gcc")
    result = exported(write_double(tmp_path / "model.onnx", 101_325.987654321, 150.0))
    assert result["bit_exact"] and 1e-5 < result["max_abs_error"]["numpy"] < 1e-3


def test_numbers_in_float64_that_float32_cannot_stand_for(tmp_path: Path) -> None:
    """The same, with a deviation that is not much more than what the mean is rounded by."""
    need("gcc")
    with pytest.raises(UserError, match="holds numbers in float64 that .* export it in float32"):
        exported(write_double(tmp_path / "model.onnx", 101_325.987654321, 0.5))
