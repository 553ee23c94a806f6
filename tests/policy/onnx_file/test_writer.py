"""write_onnx: the round trip, the sparse form, what other tools make of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx.reference import ReferenceEvaluator

from sparsectl.policy.activations import ACTIVATIONS
from sparsectl.policy.graph import Layer, PolicyGraph, Segment, Signal
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import onnx_model, write_onnx
from sparsectl.policy.passes import fold_normaliser
from sparsectl.policy.rounding import float32_rounding
from tests.policy.graphs import graphs, observations, random_graph
from tests.policy.onnx_file.onnx_files import run_file


@settings(max_examples=60, deadline=None)
@given(graph=graphs())
def test_round_trip_and_onnxruntime(
    tmp_path_factory: pytest.TempPathFactory, graph: PolicyGraph
) -> None:
    graph = fold_normaliser(graph)
    path = tmp_path_factory.getbasetemp() / "round.onnx"
    write_onnx(graph, path)
    again = read_onnx(path)
    assert again.digest == graph.digest
    assert again.signals() == graph.signals()
    assert (again.environment, again.provenance) == (graph.environment, graph.provenance)
    x = observations(graph, 50)
    assert np.allclose(run_file(path, x), graph.forward(x), rtol=1e-5, atol=2e-4)


def test_limits_and_scales_that_float32_cannot_hold_survive(tmp_path: Path) -> None:
    graph = PolicyGraph(
        (Layer([[0.5]], [0.1], "tanh"),),
        (Signal("o", "rad", low=-0.1, high=0.1),),
        (Signal("a", "N", scale=0.3, offset=0.7, low=-0.1, high=0.9),),
        period_s=0.003,
    )
    write_onnx(graph, tmp_path / "p.onnx")
    assert read_onnx(tmp_path / "p.onnx").digest == graph.digest


def test_same_graph_same_bytes(tmp_path: Path) -> None:
    graph = random_graph((20, 30, 2), 0.1)
    for name in ("a", "b"):
        write_onnx(graph, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_are_dense_for_every_tool(tmp_path: Path) -> None:
    """onnx's own reference, like most converters, takes no sparse_initializer."""
    graph = random_graph((40, 40, 1), 0.05)
    model = onnx_model(graph)
    assert not model.graph.sparse_initializer
    x = observations(graph, 20)
    (found,) = ReferenceEvaluator(model).run(None, {"observation": x})
    assert np.allclose(found, graph.forward(x), rtol=1e-5, atol=1e-5)


def test_weights_are_sparse_where_that_is_asked_for_and_smaller(tmp_path: Path) -> None:
    graph = random_graph((40, 40, 1), 0.05)
    write_onnx(graph, tmp_path / "sparse.onnx", sparse=True)
    assert read_onnx(tmp_path / "sparse.onnx").digest == graph.digest
    x = observations(graph, 20)
    found = run_file(tmp_path / "sparse.onnx", x)
    assert np.allclose(found, graph.forward(x), rtol=1e-5, atol=1e-5)
    sparse = onnx.load(tmp_path / "sparse.onnx").graph
    dense = onnx_model(random_graph((40, 40, 1), 0.9), sparse=True).graph
    assert [s.values.name for s in sparse.sparse_initializer] == ["layer0.weight"]
    assert not dense.sparse_initializer
    assert sparse.ByteSize() < 0.3 * dense.ByteSize()


def test_a_complete_artefact() -> None:
    graph = random_graph((4, 3, 1), action_map=True)
    model = onnx_model(graph)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["sparsectl.digest"] == graph.digest
    assert json.loads(metadata["sparsectl.signals"]) == graph.signals()
    assert metadata["sparsectl.environment"] == "env"
    assert json.loads(metadata["sparsectl.provenance"]) == {}
    assert [n.op_type for n in model.graph.node] == [
        "Gemm", "Relu", "Gemm", "Tanh", "Mul", "Add", "Max", "Min",
    ]  # fmt: skip
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_an_unfolded_graph_is_a_defect() -> None:
    with pytest.raises(ValueError, match="fold the normaliser"):
        onnx_model(random_graph((4, 3, 1), normalised=True))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_comes_back_and_acts_as_in_onnxruntime(name: str, tmp_path: Path) -> None:
    activation = ACTIVATIONS[name]
    parameters = {"clip": (-0.5, 0.75), "leaky_relu": (0.3,), "elu": (0.6,)}.get(name, ())
    hidden = "relu" if activation.needs_whole_layer else name
    graph = random_graph((3, 12, 60), activations=(hidden, "identity"))
    first = replace(graph.layers[0], activation=hidden, parameters=parameters)
    if name in ("logarithm", "square_root"):
        first = replace(first, bias=first.bias + 40)
    last = replace(graph.layers[1], activation=name if activation.needs_whole_layer else "identity")
    action = tuple(Signal(f"a{i}") for i in range(last.results))
    graph = replace(graph, layers=(first, last), action=action)
    write_onnx(graph, tmp_path / "policy.onnx")
    assert read_onnx(tmp_path / "policy.onnx").digest == graph.digest
    x = observations(graph)
    expected, found = run_file(tmp_path / "policy.onnx", x), graph.forward(x)
    with np.errstate(all="ignore"):
        rounding = np.nan_to_num(float32_rounding(graph, x), nan=np.inf)
        allowed = rounding + 1e-6 * np.nanmax(np.abs(found))
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    known = np.isfinite(found)
    assert known.any() and (np.abs(found - expected) <= allowed)[known].all()


def test_segments_come_back_and_act_as_in_onnxruntime(tmp_path: Path) -> None:
    parts = ("relu", "identity", "product", "layer_norm", "argmax", "choice", "step", "square")
    segments = tuple(Segment(6, name) for name in parts)
    graph = random_graph((5, 48, 4), activations=("relu", "identity"))
    first = replace(graph.layers[0], segments=segments)
    last = graph.layers[1].weight[:, : first.results]
    graph = replace(graph, layers=(first, Layer(last, graph.layers[1].bias, "tanh")))
    write_onnx(graph, tmp_path / "policy.onnx")
    back = read_onnx(tmp_path / "policy.onnx")
    assert back.digest == graph.digest and back.layers[0].segments == segments
    x = observations(graph)
    assert np.allclose(run_file(tmp_path / "policy.onnx", x), graph.forward(x), atol=1e-5)


def test_what_says_that_it_was_written_is_not_believed(tmp_path: Path) -> None:
    graph = random_graph((5, 8, 4), activations=("square", "identity"))
    model = onnx_model(graph)
    model.graph.node[1].op_type = "Add"  # twice the sum, where the metadata says its square
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    x = observations(graph)
    assert np.allclose(run_file(path, x), read_onnx(path).forward(x), rtol=1e-5, atol=1e-5)
