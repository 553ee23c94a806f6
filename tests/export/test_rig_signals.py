"""A policy that was trained in a rig's environment and does not say so gets the rig's signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.export.rig_signals import with_signals_of
from sparsectl.hil.planning.plan import _check_fit
from sparsectl.plants.rig import load_rig
from sparsectl.policy.load import load
from tests.policy.onnx_file.onnx_files import mlp, write_file

ARM, CART, CHOOSES = "qube_servo2", "sensorsini_cartpole", "sensorsini_bang_bang"
STACKED = 25
"""Five frames of five signals."""


def stacked(path: Path, kind: str = "plain", size: int = STACKED) -> Path:
    """`normalised`: by another mean and deviation for each value; `chooses`: one of three."""
    nodes, constants = mlp("h", "sums", size, actions=3 if kind == "chooses" else 1)
    last = helper.make_node("Tanh", ["sums"], ["action"])
    if kind == "chooses":
        last = helper.make_node("ArgMax", ["sums"], ["action"], axis=1, keepdims=1)
    first = [helper.make_node("Identity", ["o"], ["h"])]
    if kind == "normalised":
        random = np.random.default_rng(1)
        constants |= {"mean": np.float32(random.normal(0, 1, size))}
        constants |= {"deviation": np.float32(random.uniform(0.5, 2, size))}
        first = [
            helper.make_node("Sub", ["o", "mean"], ["c"]),
            helper.make_node("Div", ["c", "deviation"], ["h"]),
        ]
    return write_file(path, [*first, *nodes, last], constants, {"o": ["b", size]})


@pytest.mark.parametrize(
    ("kind", "rig"), [("plain", ARM), ("normalised", ARM), ("plain", CART), ("chooses", CHOOSES)]
)
def test_the_signals_are_the_rigs_and_the_numbers_the_files(
    kind: str, rig: str, tmp_path: Path
) -> None:
    path = stacked(tmp_path / "policy.onnx", kind)
    result = export_policy(ExportConfig(path, tmp_path / "policy", rig=rig, observations=300))
    assert result["bit_exact"]
    before, graph = load(path), load(tmp_path / "policy")
    rows = np.random.default_rng(2).normal(0, 1, (200, STACKED)).astype(np.float32)
    np.testing.assert_allclose(graph.forward(rows), before.forward(rows), atol=2e-6)
    signals = load_rig(rig).signals()
    assert [s.name for s in graph.observation] == [s["name"] for s in signals["observation"]]
    assert (graph.frames, graph.period_s, graph.rig) == (5, signals["period_s"], rig)
    assert graph.action[0].name == "motor_duty"
    _check_fit(graph, load_rig(rig))
    if kind == "plain":
        with pytest.raises(UserError, match=f"5 frames of rig {rig}'s 5 .*again with --rig {rig}"):
            _check_fit(before, load_rig(rig))


@pytest.mark.parametrize(
    ("given", "rig", "message"),
    [
        ({"kind": "chooses"}, ARM, "takes one of 3 choices, .* any duty; name its own rig"),
        ({}, CHOOSES, "gives a real number, the rig's motor takes one of 3 duties"),
        ({"size": 5}, ARM, "gives 25 values for one action, but the policy takes 5 and gives 1"),
        ({}, "nowhere", "no rig nowhere"),
    ],
)
def test_another_rig_is_refused(
    given: dict[str, Any], rig: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as error:
        with_signals_of(load(stacked(tmp_path / "policy.onnx", **given)), rig)
    assert "\n" not in str(error.value)


def test_a_file_that_names_its_rig_keeps_it(tmp_path: Path) -> None:
    path = stacked(tmp_path / "policy.onnx")
    export_policy(ExportConfig(path, tmp_path / "policy", rig=ARM, observations=300))
    graph = load(tmp_path / "policy")
    assert with_signals_of(graph, ARM).digest == graph.digest
    with pytest.raises(UserError, match=f"--rig is {CART}, but the policy's file says {ARM}"):
        with_signals_of(graph, CART)
