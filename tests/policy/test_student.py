"""read_student: the collapse, and files that are not what they say."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.student import read_student
from sparsectl.policy.student_file import log_alpha
from tests.policy.graphs import random_graph, student_metadata, student_tensors, write_student

GRAPH = random_graph((10, 7, 5, 1), 0.3, frames=2, normalised=True)


@pytest.mark.parametrize("with_mask", [False, True])
def test_posterior_collapses_to_its_masked_mean(tmp_path: Path, with_mask: bool) -> None:
    path = tmp_path / "student.safetensors"
    graph = read_student(
        write_student(path, student_tensors(GRAPH, with_mask), student_metadata(GRAPH))
    )
    assert graph.digest == GRAPH.digest
    assert graph.environment == "env"
    assert graph.provenance == {"student": {"revision": "abc"}, "seed": 3}


def test_log_alpha_is_clipped_and_a_zero_mean_is_pruned() -> None:
    mean = np.array([1, 0, 1e-9, 1], np.float32)
    log_sigma = np.array([0.5, -5, 0, -30], np.float32)
    assert log_alpha(mean, log_sigma).tolist() == [1.0, 10.0, 10.0, -10.0]


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_student(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def changed(tmp_path: Path, tensors: dict[str, Any] | None = None, **metadata: Any) -> Path:
    everything = student_tensors(GRAPH) | (tensors or {})
    kept = {name: array for name, array in everything.items() if array is not None}
    return write_student(tmp_path / "s.safetensors", kept, student_metadata(GRAPH) | metadata)


def with_nan(graph: PolicyGraph) -> np.ndarray:
    mean = student_tensors(graph)["layers.1.mean"]
    mean[2, 3] = np.nan
    return mean


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"layers.1.mean": with_nan(GRAPH)}, {}, "layers.1.mean has NaN or infinity"),
        ({"layers.1.bias": None}, {}, "has no tensor layers.1.bias"),
        (
            {"layers.1.bias": np.zeros(3, np.float32)},
            {},
            "the shapes of layer 1 do not fit",
        ),
        ({"layers.0.bias": np.zeros(7)}, {}, "layers.0.bias is F64, not F32"),
        ({"layers.0.log_sigma": np.zeros((2, 2), np.float32)}, {}, "layers.0.log_sigma"),
        ({"layers.0.mask": np.zeros((2, 2), np.uint8)}, {}, "layers.0.mask is .2, 2."),
        ({}, {"activations": ["relu", "snake", "tanh"]}, "activation 'snake' is not known"),
        ({}, {"activations": []}, "activations is not a list"),
        ({}, {"log_alpha_threshold": "2"}, "log_alpha_threshold is '2'"),
        ({}, {"signals": None}, "signals is None"),
        ({}, {"signals": {**GRAPH.signals(), "frames": 3}}, "do not chain from 15 observations"),
        ({}, {"signals": {**GRAPH.signals(), "frames": True}}, "signals.frames is True"),
        ({}, {"signals": {**GRAPH.signals(), "action": [{}]}}, r"signals.action\[0\] is {}"),
        ({}, {"format": "other"}, "is 'other' version 1"),
        ({}, {"version": 9}, "version 9"),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, tensors: dict[str, Any], metadata: dict[str, Any], message: str
) -> None:
    path = changed(tmp_path, tensors, **metadata)
    with pytest.raises(UserError, match=message) as caught:
        read_student(path)
    assert "\n" not in str(caught.value)


def test_no_or_broken_metadata(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    write_student(path, student_tensors(GRAPH), None)
    assert "no sparsectl metadata" in refused(path)
    write_student(path, student_tensors(GRAPH), "{")
    assert "not JSON" in refused(path)
    write_student(path, student_tensors(GRAPH), "[" * 100_000)
    assert "not JSON" in refused(path)


def test_missing_folder_and_foreign_files(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "no.safetensors")
    assert "is a folder" in refused(tmp_path)
    foreign = tmp_path / "foreign.safetensors"
    for content in (b"", b"hello", b"PK\x03\x04" + b"\0" * 100, b"\xff" * 64):
        foreign.write_bytes(content)
        refused(foreign)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path)
    whole = path.read_bytes()
    for length in np.linspace(1, len(whole) - 1, 40, dtype=int):
        path.write_bytes(whole[:length])
        refused(path)


def test_sizes_that_lie_are_refused_before_allocation(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    header = {"layers.0.mean": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 8)
    refused(path)
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    refused(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with path.open("wb") as file:
        file.truncate(2**33)
    assert "8589934592 bytes" in refused(path)
