"""export_policy: from a file to a folder that is right, or nothing at all."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparsectl.export.pipeline
import sparsectl.export.verify
from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.observations import spread_observations
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.student_source import run_torch
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import fold_normaliser, simplify
from tests.policy.graphs import (
    observations,
    random_graph,
    student_metadata,
    student_tensors,
    write_student,
)

STUDENT = random_graph((25, 128, 128, 1), 0.05, frames=5, normalised=True)
FILES = ["policy.c", "policy.h", "policy.json", "policy.onnx", "policy_vectors.h"]


def student(tmp_path: Path, graph: PolicyGraph = STUDENT) -> Path:
    path = tmp_path / "student.safetensors"
    return write_student(path, student_tensors(graph), student_metadata(graph))


def test_a_student_becomes_a_verified_policy(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "policy"
    result = export_policy(ExportConfig(student(tmp_path), out))
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert [path.name for path in out.parent.iterdir()] == ["policy"]
    assert result["files"] == [str(out / name) for name in FILES]
    expected = simplify(STUDENT)
    assert result["digest"] == expected.digest
    assert result["encoding"] == "csr"
    assert result["kept_weights"] == expected.kept_weights < STUDENT.kept_weights
    assert result["source_weights"] == STUDENT.kept_weights
    assert result["folded_neurons"] > 0
    errors = result["max_abs_error"]
    assert set(errors) == {"source", "numpy", "onnxruntime", "host_c"}
    assert result["bit_exact"] and errors["host_c"] == errors["numpy"]
    assert max(errors.values()) <= result["error_limit"] == 2e-6
    assert result["within_error"]
    assert json.loads(json.dumps(result)) == result


def test_policy_onnx_is_the_policy(tmp_path: Path) -> None:
    result = export_policy(ExportConfig(student(tmp_path), tmp_path / "p", observations=100))
    graph = read_onnx(tmp_path / "p" / "policy.onnx")
    assert graph.digest == result["digest"]
    assert (graph.frames, graph.rig, graph.environment) == (5, "bench", "env")
    assert graph.provenance["source"]["file"] == "student.safetensors"
    assert graph.provenance["source"]["provenance"]["seed"] == 3
    assert "revision" in graph.provenance["export"]


def test_policy_json_vouches_for_every_other_file(tmp_path: Path) -> None:
    model, out = student(tmp_path), tmp_path / "p"
    result = export_policy(ExportConfig(model, out, observations=100))
    said = json.loads((out / "policy.json").read_text())
    assert said["digest"] == result["digest"]
    assert said["source_sha256"] == result["source_sha256"] == sha256(model)
    assert said["files"] == {name: sha256(out / name) for name in FILES if name != "policy.json"}
    assert said["encoding"]["name"] == result["encoding"]
    assert said["accuracy"]["max_abs_error"] == result["max_abs_error"]
    export_policy(ExportConfig(model, out, observations=100, package="arduino"))
    said = json.loads((out / "policy.json").read_text())
    assert all(sha256(out / name) == digest for name, digest in said["files"].items())
    assert {"src/policy.c", "library.properties", "policy.onnx"} <= set(said["files"])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_added_layer_is_no_folded_neuron(tmp_path: Path) -> None:
    """Offsets of many scales are taken off by a layer of their own."""
    graph = random_graph((3, 4, 1), 1.0, 1)
    far = tuple(replace(signal, offset=1000.0, scale=2.0) for signal in graph.observation)
    path = student(tmp_path, replace(graph, observation=far))
    result = export_policy(ExportConfig(path, tmp_path / "out", observations=50))
    assert len(result["layers"]) == 3 and result["folded_neurons"] == 0


def test_an_exported_folder_exports_to_itself(tmp_path: Path) -> None:
    first = export_policy(ExportConfig(student(tmp_path), tmp_path / "a", observations=100))
    second = export_policy(ExportConfig(tmp_path / "a", tmp_path / "b", observations=100))
    assert second["digest"] == first["digest"]
    assert (tmp_path / "a" / "policy.c").read_bytes() == (tmp_path / "b" / "policy.c").read_bytes()


def test_any_onnx_mlp_and_a_forced_encoding(tmp_path: Path) -> None:
    graph = random_graph((3, 16, 2), 1.0, activations=("tanh", "identity"), action_map=True)
    write_onnx(graph, tmp_path / "mlp.onnx")
    config = ExportConfig(tmp_path / "mlp.onnx", tmp_path / "p", encoding="csr", vectors=1)
    result = export_policy(config)
    assert result["encoding"] == "csr" and result["digest"] == graph.digest
    assert result["source_run_by"] == "onnxruntime" and result["output"] == "action"


def test_a_wide_dense_teacher_agrees(tmp_path: Path) -> None:
    write_onnx(random_graph((25, 256, 256, 1), frames=5), tmp_path / "teacher.onnx")
    config = ExportConfig(tmp_path / "teacher.onnx", tmp_path / "p", observations=1000)
    assert export_policy(config)["encoding"] == "dense"


def test_a_steep_policy_passes_by_its_rounding_and_says_so(tmp_path: Path) -> None:
    gentle = random_graph((25, 60, 1), 0.5, frames=5)
    last = gentle.layers[-1]
    steep = Layer(last.weight * 300, last.bias, "tanh")
    write_onnx(replace(gentle, layers=(gentle.layers[0], steep)), tmp_path / "steep.onnx")
    model, out = tmp_path / "steep.onnx", tmp_path / "p"
    result = export_policy(ExportConfig(model, out, observations=2000))
    assert not result["within_error"]
    assert result["error_limit"] < result["max_abs_error"]["host_c"] < result["float32_rounding"]
    with pytest.raises(UserError, match="is allowed; give an --error of at least"):
        export_policy(ExportConfig(model, out, error=1e-6, observations=2000))


def test_torch_computes_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    graph = replace(STUDENT, action=(Signal("duty", scale=2, offset=0.5, low=-1, high=None),))
    x = observations(graph, 500)
    assert np.allclose(run_torch(graph, x), graph.forward(x), rtol=0, atol=2e-6)
    config = ExportConfig(student(tmp_path), tmp_path / "p", observations=500)
    result = export_policy(config)
    assert result["source_run_by"] == "torch" and result["max_abs_error"]["source"] <= 2e-6


def refused(tmp_path: Path, model: Path, **settings: Any) -> str:
    """The message; and neither the folder nor anything beside it was left."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        export_policy(ExportConfig(model, tmp_path / "policy", **settings))
    assert sorted(tmp_path.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoding": "zip"}, "encoding 'zip' is not known"),
        ({"error": 0.0}, "error is 0.0"),
        ({"error": float("nan")}, "error is nan"),
        ({"vectors": 0}, "vectors is 0; give 1 to"),
        ({"observations": -3}, "observations is -3"),
        ({"seed": -1}, "seed is -1"),
        ({"error": 1e-12}, "differs by .* give an --error of at least"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    text = refused(tmp_path, student(tmp_path), **settings)
    assert re.search(message, text)


def test_wrong_models(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path, tmp_path / "none.onnx")
    archive = tmp_path / "model.zip"
    archive.write_bytes(b"PK")
    assert "is not a whole zip" in refused(tmp_path, archive)
    text = tmp_path / "model.txt"
    text.write_text("weights")
    assert "give a file that ends in .safetensors, .onnx, .zip" in refused(tmp_path, text)
    (tmp_path / "folder").mkdir()
    assert "policy.onnx does not exist" in refused(tmp_path, tmp_path / "folder")
    tensors = student_tensors(STUDENT)
    tensors["layers.0.mean"][0, 0] = np.nan
    nan = write_student(tmp_path / "nan.safetensors", tensors, student_metadata(STUDENT))
    assert "layers.0.mean has NaN or infinity" in refused(tmp_path, nan)


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    model = student(tmp_path)
    with pytest.raises(UserError, match="is a file; name a folder"):
        export_policy(ExportConfig(model, model))
    with pytest.raises(UserError, match="give another --out"):
        export_policy(ExportConfig(model, model / "below"))


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install the package gcc" in refused(tmp_path, student(tmp_path), observations=10)


def test_c_that_computes_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_files = sparsectl.export.pipeline.c_files

    def off_by_a_bit(*arguments: Any, **named: Any) -> dict[str, str]:
        files = true_files(*arguments, **named)
        files["policy.c"] = files["policy.c"].replace("sum = POLICY", "sum = -POLICY")
        return files

    monkeypatch.setattr(sparsectl.export.pipeline, "c_files", off_by_a_bit)
    message = refused(tmp_path, student(tmp_path), observations=200)
    assert "host C differs from the numpy reference" in message


def test_onnx_that_computes_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_acting = sparsectl.export.verify.acting

    def off(*given: Any) -> Any:
        act = true_acting(*given)
        return lambda observations: act(observations) + np.float32(1e-4)

    monkeypatch.setattr(sparsectl.export.verify, "acting", off)
    message = refused(tmp_path, student(tmp_path), observations=200)
    assert "onnxruntime differs by" in message


def test_a_failed_export_leaves_the_one_before(tmp_path: Path) -> None:
    out = tmp_path / "policy"
    export_policy(ExportConfig(student(tmp_path), out, observations=10))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    other = random_graph((25, 8, 1), frames=5)
    with pytest.raises(UserError):
        export_policy(ExportConfig(student(tmp_path, other), out, error=1e-12, observations=10))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    shutil.rmtree(out)


def test_observations_are_spread_over_the_limits() -> None:
    graph = fold_normaliser(STUDENT)
    x = spread_observations(graph, 10_000, 0)
    assert x.shape == (10_000, 25) and x.dtype == np.float32
    assert np.array_equal(x, spread_observations(graph, 10_000, 0))
    bounded = x[:, 1]
    assert (bounded.min(), bounded.max()) == (-4, 4)
    assert np.histogram(bounded, 8, (-4, 4))[0].min() > 300
    assert np.abs(x[:, 0]).max() > 2.9
