"""A file acts on the host only if its action follows from the observation alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.load import load_acting


def saved(path: Path, nodes: list[NodeProto], outputs: list[str], batch: Any = "batch") -> Path:
    """A file that takes `x` [batch, 3], of which a layer makes `mean` [batch, 2]."""
    weights = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    first = helper.make_node("MatMul", ["x", "w"], ["mean"])
    ends = [helper.make_tensor_value_info(name, 1, [batch, 2]) for name in outputs]
    given = [helper.make_tensor_value_info("x", 1, [batch, 3])]
    tensors = [numpy_helper.from_array(weights, "w")]
    graph = helper.make_graph([first, *nodes], "policy", given, ends, tensors)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    return path


def drawn() -> list[NodeProto]:
    return [
        helper.make_node("RandomNormalLike", ["mean"], ["noise"]),
        helper.make_node("Add", ["mean", "noise"], ["action"]),
    ]


def test_an_action_that_is_drawn_at_random_is_refused(tmp_path: Path) -> None:
    """As a teacher's it would be a label of noise."""
    path = saved(tmp_path / "drawn.onnx", drawn(), ["action", "mean"])
    with pytest.raises(UserError, match="output 'action' is drawn at random.*export the mean"):
        load_acting(path)


def test_a_mean_beside_what_is_drawn_acts(tmp_path: Path) -> None:
    path = saved(tmp_path / "mean.onnx", drawn()[:1], ["mean", "noise"])
    policy = load_acting(path)
    rows = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(policy.act(rows), policy.act(rows))


@pytest.mark.parametrize("together", [False, True])
def test_a_batch_of_a_fixed_size(together: bool, tmp_path: Path) -> None:
    mean = helper.make_node("ReduceMean", ["mean"], ["all"], axes=[0], keepdims=1)
    less = helper.make_node("Sub", ["mean", "all"], ["action"])
    alone = helper.make_node("Tanh", ["mean"], ["action"])
    path = saved(tmp_path / "four.onnx", [mean, less] if together else [alone], ["action"], 4)
    if together:
        with pytest.raises(UserError, match="takes 4 observations at a time.*on the others"):
            load_acting(path)
        return
    rows = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    acts = load_acting(path)
    np.testing.assert_allclose(acts.act(rows)[:1], acts.act(rows[:1]), rtol=1e-6)
