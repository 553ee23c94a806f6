"""Einsum, and products of stacks of matrices, are read as onnxruntime computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.reader import graph_of

BATCH = "batch"


def model_of(
    nodes: list[Any], shape: list[Any], constants: dict[str, tuple[int, ...]], outputs: int
) -> ModelProto:
    """A file whose nodes make `action` of `x`, the observation; its output has an open shape."""
    random = np.random.default_rng(3)
    tensors = [
        numpy_helper.from_array(random.normal(size=form).astype(np.float32), name)
        for name, form in constants.items()
    ]
    given = helper.make_tensor_value_info("x", 1, shape)
    made = helper.make_tensor_value_info("action", 1, [None] * outputs)
    graph = helper.make_graph(nodes, "policy", [given], [made], tensors)
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, ir_version=8, opset_imports=[opset])


def same_as_onnxruntime(model: ModelProto, folder: Path, rows: int = 20) -> None:
    """Compare one by one, and in one batch if the file takes it."""
    policy = graph_of(model, folder)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    declared = session.get_inputs()[0].shape
    given = np.random.default_rng(4).normal(size=(rows, policy.observation_size))
    given = given.astype(np.float32)
    found = policy.forward(given)
    one = [1 if isinstance(size, str) else size for size in declared]
    alone = [session.run(None, {"x": row.reshape(one)})[0].reshape(-1) for row in given]
    np.testing.assert_allclose(found, np.stack(alone), rtol=1e-5, atol=1e-5)
    if BATCH in declared:
        all_together = session.run(None, {"x": given.reshape(rows, *declared[1:])})[0]
        np.testing.assert_allclose(found, all_together.reshape(rows, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "shape", "constants"),
    [
        ("bi,oi->bo", [BATCH, 4], {"w": (3, 4)}),
        ("bi,io->bo", [BATCH, 4], {"w": (4, 3)}),
        ("...i,io->...o", [BATCH, 4], {"w": (4, 3)}),
        ("bi,io", [BATCH, 4], {"w": (4, 3)}),
        ("bi,i->b", [BATCH, 4], {"w": (4,)}),
        ("bi,i->bi", [BATCH, 4], {"w": (4,)}),
        ("bi,oj->bo", [BATCH, 4], {"w": (3, 5)}),
        ("bij->bj", [BATCH, 2, 3], {}),
        ("bij->bji", [BATCH, 2, 3], {}),
        ("bij,jk->bik", [BATCH, 2, 3], {"w": (3, 2)}),
        ("bij,ijk->bk", [BATCH, 2, 3], {"w": (2, 3, 2)}),
        ("bij,ijk->bik", [BATCH, 2, 3], {"w": (2, 3, 2)}),
        ("bij,ijk->bki", [BATCH, 2, 3], {"w": (2, 3, 2)}),
        ("bi,ij,jk->bk", [BATCH, 4], {"w": (4, 3), "v": (3, 2)}),
        ("bi,oij,bj->bo", [BATCH, 4], {"w": (2, 4, 4), "x": ()}),
        ("bi,bi->b", [BATCH, 4], {"x": ()}),
        ("bi,bj->bij", [BATCH, 3], {"x": ()}),
        ("i,oi->o", [4], {"w": (3, 4)}),
        ("ab,cb->ac", [1, 4], {"w": (3, 4)}),
    ],
)
def test_einsum(
    equation: str, shape: list[Any], constants: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    nodes = [helper.make_node("Einsum", ["x", *constants], ["action"], equation=equation)]
    held = {name: form for name, form in constants.items() if name != "x"}
    outputs = len(equation.replace("...", "B").partition("->")[2] or "bo")
    if outputs > 2:
        nodes[0].output[0] = "all"
        nodes.append(helper.make_node("Flatten", ["all"], ["action"]))
    same_as_onnxruntime(model_of(nodes, shape, held, min(outputs, 2)), tmp_path)


@pytest.mark.parametrize(
    ("equation", "shape", "why"),
    [
        ("bi,oi->o", [BATCH, 4], "mix the observations of a batch"),
        ("bi,bi->b", [BATCH, 4], "mix the observations of a batch"),
        ("bi,ooi->bo", [BATCH, 4], "does not fit its inputs"),
        ("bi,oo->bo", [BATCH, 3], "takes a diagonal"),
        ("bi,oi,ok->bo", [BATCH, 4], "does not fit its inputs"),
        ("bi,oi->bq", [BATCH, 4], "does not fit its inputs"),
        ("b.i,oi->bo", [BATCH, 4], "does not fit its inputs"),
    ],
)
def test_what_einsum_cannot_mean_is_refused(
    equation: str, shape: list[Any], why: str, tmp_path: Path
) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["action"], equation=equation)
    with pytest.raises(UserError, match=why):
        graph_of(model_of([node], shape, {"w": (3, 4)}, 2), tmp_path)


def test_an_ensemble_of_stacked_weights(tmp_path: Path) -> None:
    """Each member has a matrix of its own; their mean is the action."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "front"], ["wide"]),
        helper.make_node("MatMul", ["wide", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["s"]),
        helper.make_node("Relu", ["s"], ["h"]),
        helper.make_node("MatMul", ["h", "v"], ["each"]),
        helper.make_node("ReduceMean", ["each"], ["action"], axes=[0], keepdims=0),
    ]
    model = model_of(nodes, [BATCH, 4], {"w": (3, 4, 8), "b": (3, 1, 8), "v": (3, 8, 2)}, 2)
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "front"))
    same_as_onnxruntime(model, tmp_path)


def test_attention_within_an_observation(tmp_path: Path) -> None:
    """Three entities look at one another: products of two values that are stacks of a batch."""
    nodes = [
        helper.make_node("MatMul", ["x", "q"], ["queries"]),
        helper.make_node("Transpose", ["x"], ["keys"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["queries", "keys"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "x"], ["seen"]),
        helper.make_node("Flatten", ["seen"], ["flat"]),
        helper.make_node("Gemm", ["flat", "o"], ["action"]),
    ]
    model = model_of(nodes, [BATCH, 3, 4], {"q": (4, 4), "o": (12, 2)}, 2)
    same_as_onnxruntime(model, tmp_path)


def test_a_stack_of_weights_must_not_meet_the_batch(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["action"])]
    with pytest.raises(UserError, match="mix the observations of a batch"):
        graph_of(model_of(nodes, [BATCH, 2, 4], {"w": (3, 4, 2)}, 3), tmp_path)
