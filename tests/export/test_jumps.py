"""Where an action jumps, what rounds weights is judged on both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.export.source.source import Source
from sparsectl.export.source.student_source import StudentSource
from sparsectl.export.straddle import astride, straddle
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from tests.policy.onnx_file.onnx_files import write_file

node = helper.make_node
WEIGHT = np.array([[1.0, -0.4, 0.3], [0.2, 0.9, -0.7]], np.float32)
CLOSE = 1e-2

JUMPS: dict[str, list[NodeProto]] = {
    "the greatest": [node("ArgMax", ["y"], ["index"], axis=-1)],
    "the least": [node("ArgMin", ["y"], ["index"], axis=1)],
    "whole numbers, towards 0": [node("Cast", ["y"], ["index"], to=TensorProto.INT32)],
    "whole numbers, down": [node("Floor", ["y"], ["index"])],
    "whole numbers, to even": [node("Round", ["y"], ["index"])],
    "whether ReLU gives more than 0": [
        node("Relu", ["y"], ["positive"]),
        node("Greater", ["positive", "nothing"], ["index"]),
    ],
    "whether ReLU turned round gives less than 0": [
        node("Relu", ["y"], ["positive"]),
        node("Neg", ["positive"], ["negative"]),
        node("Less", ["negative", "nothing"], ["index"]),
    ],
    "whether ReLU gives anything": [
        node("Relu", ["y"], ["positive"]),
        node("Cast", ["positive"], ["index"], to=TensorProto.BOOL),
    ],
}


@pytest.mark.parametrize("what", JUMPS)
def test_both_sides_of_a_jump_are_among_those_that_are_judged(what: str, tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "weight"], ["y"]),
        *JUMPS[what],
        node("Cast", ["index"], ["action"], to=TensorProto.FLOAT),
    ]
    constants = {"weight": WEIGHT, "nothing": np.zeros((), np.float32)}
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    actions = 1 if "Arg" in JUMPS[what][0].op_type else 3
    jumps_between(OnnxSource(path, None, (2, actions)))


def test_both_sides_of_a_student_s_choice_are_too(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    path.write_bytes(b"read already")
    layer = Layer(WEIGHT.T.copy(), np.zeros(3, np.float32), "argmax")
    graph = PolicyGraph((layer,), (Signal("x0"), Signal("x1")), (Signal("choice"),))
    jumps_between(StudentSource(path, graph))
    real = replace(layer, activation="identity")
    acting = PolicyGraph((real,), graph.observation, (Signal("a"),) * 3)
    assert not len(astride(StudentSource(path, acting), met()))


def met() -> Float32:
    return np.random.default_rng(0).uniform(-5, 5, (200, 2)).astype(np.float32)


def jumps_between(source: Source) -> None:
    """Two of the observations that are judged lie close and have other actions."""
    found = astride(source, met())
    assert len(found)
    actions = source.exact(found)
    apart = np.linalg.norm(found[:, None] - found[None], axis=2)
    others = (actions[:, None] != actions[None]).any(axis=2)
    assert apart[others].min() < CLOSE


def test_choices_are_not_looked_for_far_out(tmp_path: Path) -> None:
    """One may never be taken, and where values saturate the last bit says which is."""
    nodes = [node("MatMul", ["x", "weight"], ["y"]), node("ArgMax", ["y"], ["action"], axis=-1)]
    path = write_file(tmp_path / "model.onnx", nodes, {"weight": WEIGHT}, {"x": ["b", 2]})
    found = straddle(OnnxSource(path, None, (2, 1)), met(), np.full(2, -1e6), np.full(2, 1e6), 0)
    assert (found.thresholds, found.unreached) == (0, ())
