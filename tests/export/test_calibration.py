"""Calibration on a file of observations, other rows of which the export is then judged by."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.export.calibration import COUNT, other_observations, read_observations
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.load import load
from tests.policy.graphs import random_graph, student_metadata, student_tensors, write_student

GRAPH = random_graph((5, 24, 16, 1), 0.3, 1)


def student(tmp_path: Path) -> Path:
    path = tmp_path / "student.safetensors"
    return write_student(path, student_tensors(GRAPH), student_metadata(GRAPH))


def dataset(tmp_path: Path, rows: int, size: int = 5) -> Path:
    """Observations in a small part of what there may be."""
    path = tmp_path / "dataset.npz"
    values = 0.1 * np.random.default_rng(0).standard_normal((rows, size))
    np.savez(path, observations=values.astype(np.float32), rewards=np.zeros(rows))
    return path


def test_what_the_policy_meets_decides_scales_and_verdict(tmp_path: Path) -> None:
    config = ExportConfig(student(tmp_path), tmp_path / "spread", encoding="packed-int8")
    spread = export_policy(config)
    calibration = dataset(tmp_path, 6000)
    config = ExportConfig(
        student(tmp_path), tmp_path / "met", encoding="packed-int8", calibration=calibration
    )
    met = export_policy(config)
    assert met["bit_exact"] and met["inputs_from"] == "calibration"
    assert met["max_abs_error"]["numpy"] < 0.25 * spread["max_abs_error"]["numpy"]
    assert met["observations"] == 3000  # every second was calibrated on
    assert spread["observations"] == 10_000


@pytest.mark.parametrize(
    ("recorded", "is_told"),
    [("mine:Other-v0", True), ("mine:Own-v0", False), (None, False), (7, False)],
)
def test_observations_of_another_environment(
    recorded: object, is_told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may have as many signals by chance."""
    graph = replace(GRAPH, environment="mine:Own-v0")
    model = write_student(
        tmp_path / "student.safetensors", student_tensors(graph), student_metadata(graph)
    )
    said = json.dumps({} if recorded is None else {"environment": recorded})
    rows = np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32)
    path = tmp_path / "dataset.npz"
    np.savez(path, observations=rows, metadata=np.frombuffer(said.encode(), np.uint8))
    assert load(model).environment == "mine:Own-v0"
    export_policy(ExportConfig(model, tmp_path / "out", calibration=path, encoding="dense-int16"))
    told = "was recorded in mine:Other-v0, but the policy is for mine:Own-v0"
    assert (told in capsys.readouterr().err) == is_told


def test_nothing_is_judged_by_what_it_was_calibrated_on(tmp_path: Path) -> None:
    path = dataset(tmp_path, 10_001)
    known = {row.tobytes() for row in read_observations(path, 5)}
    others = other_observations(path, 5, 1000)
    assert len(known) <= COUNT and 500 < len(others) <= 1000
    assert not known & {row.tobytes() for row in others}
    few = dataset(tmp_path, 7)
    assert np.array_equal(other_observations(few, 5, 1000), read_observations(few, 5))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "does not exist; give an .npz"),
        (b"rubbish", "is not an .npz"),
        ({"observation": np.zeros((9, 5))}, "is not an .npz with an array 'observations'"),
        ({"observations": np.zeros((9, 4))}, "of shape .9, 4.; this policy takes .any, 5."),
        ({"observations": np.full((9, 5), np.nan)}, "not finite"),
        ({"observations": np.full((9, 5), 1e300)}, "not finite"),
        ({"observations": np.array([[None] * 5])}, "is not an .npz"),
    ],
)
def test_what_is_no_dataset_is_one_line(
    content: bytes | dict[str, np.ndarray] | None, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "dataset.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    config = ExportConfig(
        student(tmp_path), tmp_path / "policy", encoding="packed-int8", calibration=path
    )
    with pytest.raises(UserError, match=complaint) as caught:
        export_policy(config)
    assert "\n" not in str(caught.value) and not config.out.exists()


@pytest.mark.parametrize("name", ["model.onnx", "student.safetensors", "observations.npz"])
def test_a_file_without_permission_is_told_as_that(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"something")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads every file")
    with pytest.raises(UserError, match=f"cannot read .*{name}: Permission denied"):
        if path.suffix == ".npz":
            read_observations(path, 4)
        else:
            load(path)
