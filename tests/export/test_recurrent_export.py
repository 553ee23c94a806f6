"""`sparsectl export` of policies that keep a state, from file to proof."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.host_c import load_recurrent_c
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.folder import GoldenVectors, PolicyFacts, read_policy_json
from sparsectl.policy.load import load
from tests.policy.onnx_file.chains import saved
from tests.policy.onnx_file.recurrent_models import INPUTS, cell_model


def student(path: Path, units: int = 5, kept: float = 0.8, **changes: Any) -> Path:
    """Three observations, an encoder of 4, GRU, one action; tensors can be replaced or left out."""
    generator = np.random.default_rng(4)
    tensors: dict[str, Any] = {}

    def weights(name: str, *shape: int) -> None:
        found = (generator.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
        mask = generator.random(shape) < kept
        tensors[f"{name}mean"], tensors[f"{name}mask"] = found, mask.astype(np.uint8)
        tensors[f"{name}bias"] = (0.3 * generator.normal(size=shape[0])).astype(np.float32)

    weights("layers.0.", 4, 3)
    weights("layers.1.", 3 * units, 4)
    weights("layers.1.recurrent_", 3 * units, units)
    weights("layers.2.", 1, units)
    tensors["layers.1.reset_state"] = generator.uniform(-0.5, 0.5, units).astype(np.float32)
    limits = {"low": -2.0, "high": 2.0}
    signals = {
        "observation": [{"name": f"o{i}", "scale": 2.0, "offset": 0.5, **limits} for i in range(3)],
        "action": [{"name": "force", "unit": "N", "low": -1.0, "high": 1.0}],
        "period_s": 0.02,
    }
    metadata = {"format": "sparsectl.student", "version": 1, "log_alpha_threshold": 2.0}
    metadata |= {"activations": ["relu", "gru", "tanh"], "signals": signals, "seed": 0}
    tensors |= {name.replace("__", "."): array for name, array in changes.items()}
    kept_tensors = {name: array for name, array in tensors.items() if array is not None}
    save_file(kept_tensors, path, {"sparsectl": json.dumps(metadata)})
    return path


def exported(path: Path, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    settings = {"observations": 400} | settings
    return export_policy(ExportConfig(path, tmp_path / "policy", **settings))


@pytest.mark.parametrize("encoding", ["auto", "packed-int16", "packed-int8"])
def test_a_recurrent_student_is_exported_and_proven(encoding: str, tmp_path: Path) -> None:
    path = student(tmp_path / "student.safetensors")
    result = exported(path, tmp_path, encoding=encoding, vectors=24)
    assert result["bit_exact"] and result["state"]["size"] == 5
    assert result["sequences"]["ticks"] == 400 and result["sequences"]["sequences"] > 2
    errors = result["max_abs_error"]
    assert set(errors) == {"source", "numpy", "onnxruntime", "host_c"}
    assert errors["onnxruntime"] < 1e-5 and errors["host_c"] < (5e-2 if "int" in encoding else 1e-5)
    assert "sequences of up to" in result["proof"]["on"]
    folder = tmp_path / "policy"
    said = read_policy_json(folder)
    assert said is not None
    facts = PolicyFacts.from_json(said, folder / "policy.json")
    golden = GoldenVectors.from_json(said, facts, folder / "policy.json")
    assert facts.state_size == 5 and golden.sequence_length == 12
    c = load_recurrent_c(folder, 1, 5, tmp_path)
    assert np.array_equal(c.run(golden.observations, golden.resets), golden.actions)
    again = load(folder)
    assert (again.digest, again.reset_state) == (said["digest"], tuple(said["state"]["reset"]))


def test_a_state_that_is_too_far_is_called_one(tmp_path: Path) -> None:
    path = student(tmp_path / "student.safetensors")
    with pytest.raises(UserError, match=r"\(value \d of the state is "):
        exported(path, tmp_path, encoding="dense-int8", error=1e-6)


def test_calibration_is_taken_as_sequences(tmp_path: Path) -> None:
    path = student(tmp_path / "student.safetensors")
    generator = np.random.default_rng(0)
    rows = np.clip(np.cumsum(0.1 * generator.normal(size=(3000, 3)), axis=0), -2, 2)
    ends = generator.random(3000) < 0.01
    np.savez(tmp_path / "d.npz", observations=rows.astype(np.float32), terminations=ends)
    result = exported(path, tmp_path, calibration=tmp_path / "d.npz", observations=1000)
    assert result["inputs_from"] == "calibration"
    assert result["sequences"]["sequences"] > 5 and result["sequences"]["ticks"] >= 1000


def test_a_file_without_limits_takes_calibration(tmp_path: Path) -> None:
    """Of an operator, too, that onnx's own reference does not know, so that there is no float64."""
    path = saved(tmp_path, cell_model("RNN", activations=["Sigmoid"]))
    rows = np.random.default_rng(0).normal(size=(900, INPUTS)).astype(np.float32)
    np.savez(tmp_path / "d.npz", observations=rows)
    result = exported(path, tmp_path, calibration=tmp_path / "d.npz", encoding="dense-int16")
    assert result["bit_exact"] and result["inputs_from"] == "calibration"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers__1__recurrent_mean": None}, "no tensor layers.1.recurrent_mean"),
        (
            {"layers__1__bias": np.zeros(14, np.float32)},
            "the shapes of layer 1 do not fit",
        ),
        ({"layers__1__reset_state": np.zeros(4, np.float32)}, "layer 1: a reset state of shape"),
        ({"layers__1__reset_state": np.full(5, np.nan, np.float32)}, "a reset state of"),
        (
            {"layers__1__mean": np.full((15, 4), np.inf, np.float32)},
            "layers.1.mean has NaN",
        ),
        ({"layers__1__mean": np.zeros((15, 6), np.float32)}, "mask is"),
        ({"layers__1__recurrent_mask": np.zeros((15, 4), np.uint8)}, "recurrent_mask is"),
    ],
)
def test_students_that_do_not_fit_are_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = student(tmp_path / "student.safetensors", **changes)
    with pytest.raises(UserError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
