"""The user's own ONNX file as it runs, which the C is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from sparsectl.common.errors import UserError
from sparsectl.common.signal_ranges import Pair
from sparsectl.export.config import ExportConfig
from sparsectl.export.inputs import inputs_of
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.float64 import Float64Graph
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.export.straddle import straddle
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from tests.policy.onnx_file.onnx_files import mlp, run_file, write_file
from tests.policy.onnx_file.recurrent_models import cell_model
from tests.tools import need

MEAN = np.array([3000.0, 101325.0], np.float32)
STD = np.array([800.0, 40_000.0], np.float32)
node = helper.make_node

SHAPES: dict[str, list[Any]] = {
    "any batch": ["b", 6],
    "one": [1, 6],
    "no batch": [6],
    "batch of four": [4, 6],
    "frames": ["b", 2, 3],
    "one of frames": [1, 2, 3],
}


@pytest.mark.parametrize("name", SHAPES)
def test_whatever_shape_the_file_declares(name: str, tmp_path: Path) -> None:
    """The source runs by the file's own shape, and one observation comes out as in every other."""
    shape = SHAPES[name]
    nodes, constants = mlp("flat", "action", 6)
    last = [6] if len(shape) == 1 else [-1, 6]
    nodes.insert(0, node("Reshape", ["x", "last"], ["flat"]))
    constants |= {"last": np.array(last)}
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": shape})
    plain_nodes, plain = mlp("x", "action", 6)
    reference = write_file(tmp_path / "plain.onnx", plain_nodes, plain, {"x": ["b", 6]})
    x = np.random.default_rng(3).normal(size=(11, 6)).astype(np.float32)
    source = OnnxSource(path, None, (6, 1))
    expected = run_file(reference, x)
    assert np.allclose(source.run(x), expected, atol=1e-6)
    assert np.allclose(source.exact(x), expected, atol=1e-6)


def test_what_mixes_its_batch_is_run_one_by_one(tmp_path: Path) -> None:
    nodes, constants = mlp("centred", "action", 2)
    nodes = [
        node("ReduceMax", ["x"], ["greatest"], axes=[0], keepdims=1),
        node("Div", ["x", "greatest"], ["centred"]),
        *nodes,
    ]
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    source = OnnxSource(path, None, (2, 1))
    x = np.random.default_rng(3).normal(size=(20, 2)).astype(np.float32)
    alone = np.concatenate([run_file(path, row[None]) for row in x])
    assert np.array_equal(source.run(x), alone)
    assert not np.allclose(run_file(path, x), alone)


def test_several_inputs_are_one_observation(tmp_path: Path) -> None:
    nodes, constants = mlp("x", "action", 5)
    nodes.insert(0, node("Concat", ["angles", "speeds"], ["x"], axis=1))
    inputs = {"angles": ["b", 2], "speeds": ["b", 3]}
    path = write_file(tmp_path / "model.onnx", nodes, constants, inputs)
    x = np.random.default_rng(3).normal(size=(20, 5)).astype(np.float32)
    session = onnx.reference.ReferenceEvaluator(str(path))
    expected = session.run(None, {"angles": x[:, :2], "speeds": x[:, 2:]})[0]
    assert np.allclose(OnnxSource(path, None, (5, 1)).run(x), expected, atol=1e-6)
    with pytest.raises(UserError, match="are not the 4 values that the policy was read with"):
        OnnxSource(path, None, (4, 1))


def test_onnx_s_reference_runs_what_onnxruntime_refuses(tmp_path: Path) -> None:
    nodes, constants = mlp("x", "action", 2)
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    model = onnx.load(path)
    model.ir_version = 99  # of a later onnx than this onnxruntime knows
    path.write_bytes(model.SerializeToString())
    source = OnnxSource(path, None, (2, 1))
    assert source.run_by == "onnx's reference"
    model.ir_version = 8
    model.graph.node[0].op_type = "Frobnicate"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="nothing here can run it .onnxruntime: .*Frobnicate"):
        OnnxSource(path, None, (2, 1))


def test_thresholds_are_straddled_or_named(tmp_path: Path) -> None:
    """One far out in a corner of 20 dimensions, and one that nothing reaches."""
    random = np.random.default_rng(0)
    weight = random.normal(size=(20, 1)).astype(np.float32)
    reach = 10 * np.abs(weight).sum()
    constants = {
        "w": weight,
        "high": np.array(0.9 * reach, np.float32),
        "low": np.array(-2 * reach, np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["y"]),
        node("Clip", ["y", "low", "high"], ["action"], name="torque"),
    ]
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 20]})
    source = OnnxSource(path, None, (20, 1))
    signals = tuple(Signal(f"o{i}", low=-10.0, high=10.0) for i in range(20))
    graph = PolicyGraph((Layer(weight.T, np.zeros(1), "identity"),), signals, (Signal("a"),))
    inputs = inputs_of(graph, None)
    known = inputs.spread(1000, 0)[3:]  # without the corners
    assert np.abs(known.astype(float) @ weight[:, 0]).max() < 0.9 * reach
    found = straddle(source, known, *inputs.box(), 0)
    assert found.unreached == ("Clip 'torque'[0]",)
    y = found.observations.astype(np.float64) @ weight[:, 0]
    assert np.any(y > 0.9 * reach) and np.any((y < 0.9 * reach) & (y > 0.89 * reach))
    assert np.abs(found.observations).max() <= 10


def test_limited_weights_are_no_threshold(tmp_path: Path) -> None:
    """As brevitas writes them: whichever number of observations are run, there is none."""
    nodes, constants = mlp("x", "sums", 4)
    constants |= {"low": np.array(-0.5, np.float32), "high": np.array(0.5, np.float32)}
    weight = next(name for name, value in constants.items() if value.shape[:1] == (4,))
    constants["whole"] = constants.pop(weight)
    nodes = [node("Clip", ["whole", "low", "high"], [weight]), *nodes]
    limited = [*nodes, node("Clip", ["sums", "low", "high"], ["action"])]
    shown = write_file(tmp_path / "model.onnx", limited, constants, {"x": ["b", 4]})
    source = OnnxSource(shown, None, (4, 1))
    kinds = {name.split()[0] for name in source.thresholds}
    assert kinds == {"Clip"} and len(source.thresholds) == 2, "those of the action"
    for rows in (1, 2, 4, 7, 64):
        observations = np.random.default_rng(3).normal(size=(rows, 4)).astype(np.float32)
        assert source.margins(observations).shape == (rows, 2)


def test_the_normaliser_is_found_in_each_spelling(tmp_path: Path) -> None:
    constants = {
        "mean": MEAN,
        "minus": -MEAN,
        "std": STD,
        "inverse": 1 / STD,
        "ones": np.ones(2, np.float32),
        "zeros": np.zeros(2, np.float32),
        "variance": STD**2,
        "limit": np.array(10, np.float32),
        "minus_limit": np.array(-10, np.float32),
    }
    chains = (
        ["Sub x mean d", "Div d std z"],
        ["Add x minus d", "Mul inverse d z"],
        ["Identity x i", "Sub i mean d", "Div d std n", "Clip n minus_limit limit z"],
        ["BatchNormalization x ones zeros mean variance z"],
    )
    for chain in chains:
        nodes, weights = mlp("z", "action", 2)
        before = [node(k, v[:-1], v[-1:]) for k, *v in map(str.split, chain)]
        used = {name for each in before for name in each.input}
        given = {name: value for name, value in constants.items() if name in used}
        path = write_file(tmp_path / "model.onnx", before + nodes, weights | given, {"x": ["b", 2]})
        found = OnnxSource(path, None, (2, 1)).normaliser
        assert found is not None, chain
        assert np.allclose(found.offset, MEAN, rtol=1e-4) and np.allclose(
            found.scale, STD, rtol=1e-4
        )


def test_a_file_for_one_observation_runs_many_together_in_float64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch writes a batch of one into the shapes of its Reshapes by default."""
    nodes, constants = mlp("flat", "action", 6)
    nodes.insert(0, node("Reshape", ["x", "last"], ["flat"]))
    constants |= {"last": np.array([1, 6])}
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": [1, 2, 3]})
    source = OnnxSource(path, None, (6, 1))
    x = np.random.default_rng(3).normal(size=(100, 6)).astype(np.float32)
    calls, run = [], Float64Graph.run
    monkeypatch.setattr(Float64Graph, "run", lambda *a: calls.append(a) or run(*a))
    exact = source.exact(x)
    assert len(calls) == 1
    alone = np.concatenate([source.exact(row[None]) for row in x])
    assert np.allclose(exact, alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("opset", [7, 9, 13, 15])
def test_batch_normalization_of_every_age_is_that_of_a_trained_network(
    opset: int, tmp_path: Path
) -> None:
    """onnx's own reference takes the batch's mean and variance up to version 13."""
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    constants = {"ones": ones, "zeros": zeros, "mean": MEAN, "variance": STD**2}
    nodes, weights = mlp("z", "action", 2)
    nodes.insert(0, node("BatchNormalization", ["x", "ones", "zeros", "mean", "variance"], ["z"]))
    path = write_file(tmp_path / "model.onnx", nodes, weights | constants, {"x": ["b", 2]})
    model = onnx.load(path)
    model.opset_import[0].version = opset
    path.write_bytes(model.SerializeToString())
    source = OnnxSource(path, None, (2, 1))
    x = np.random.default_rng(0).normal(MEAN, STD, (9, 2)).astype(np.float32)
    assert np.ptp(source.run(x)) > 0.1
    assert np.allclose(source.exact(x), source.run(x), atol=1e-5)


@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid", "Relu"])
def test_a_plain_rnn_runs_in_float64_whatever_its_activation(
    activation: str, tmp_path: Path
) -> None:
    """onnx's own reference knows Tanh alone. Of a nearly constant action, the rounding of its last
    sum was not allowed then, and the export was refused."""
    path = tmp_path / "model.onnx"
    path.write_bytes(cell_model("RNN", activations=[activation]).SerializeToString())
    source = OnnxSource(path, None, (7, 6))
    rows = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    exact, own = source.exact(rows), source.run(rows)
    assert 0 < np.abs(exact - own).max() < 1e-6


def test_a_file_without_float64_rounds_at_its_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, constants = mlp("x", "hardly", 2)
    constants |= {"little": np.float32(1e-12), "most": np.float32(0.9)}
    nodes.append(node("Mul", ["hardly", "little"], ["small"]))
    nodes.append(node("Add", ["small", "most"], ["action"]))
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    monkeypatch.setattr(OnnxSource, "_in_float64", lambda source: None)
    rounding = OnnxSource(path, None, (2, 1)).rounding(np.ones((5, 2), np.float32))
    assert (rounding >= np.finfo(np.float32).eps).all() and (rounding < 1e-6).all()


@pytest.mark.parametrize("encoding", ["csr", "dense"])
def test_what_overflows_inside_far_out_is_no_reason_to_refuse(
    encoding: str, tmp_path: Path
) -> None:
    """symexp of 10 times the range goes beyond float32; tables with zeros make NaN of it."""
    need("gcc")
    constants = {"one": np.ones(1, np.float32), "w": np.eye(2, dtype=np.float32)}
    nodes = [
        node("Abs", ["x"], ["size"]),
        node("Exp", ["size"], ["exp"]),
        node("Sub", ["exp", "one"], ["grown"]),
        node("Sign", ["x"], ["sign"]),
        node("Mul", ["grown", "sign"], ["symexp"]),
        node("MatMul", ["symexp", "w"], ["sum"]),
        node("Tanh", ["sum"], ["action"]),
    ]
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    result = export_policy(
        ExportConfig(
            path,
            tmp_path / "policy",
            encoding=encoding,
            range=(Pair(-5.0, 5.0),),
            observations=300,
            vectors=4,
        )
    )
    assert result["bit_exact"] and result["max_error_share"] < 1e-6
