"""Linear models, and what stands before them, of ai.onnx.ml: as onnxruntime computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.reader import graph_of

ROWS = [[0.5, -1.0, 2.0, 0.25], [-0.5, 1.5, 0.0, 1.0], [1.0, 1.0, -1.0, 0.5]]
WEIGHTS = [number for row in ROWS for number in row]
CLASSIFIER: dict[str, Any] = {
    "coefficients": WEIGHTS,
    "intercepts": [0.1, -0.2, 0.3],
    "classlabels_ints": [0, 1, 2],
}


OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def model_of(
    operator: str, outputs: list[str], action: str, opsets: Any = OPSETS, **attributes: Any
) -> ModelProto:
    node = helper.make_node(operator, ["x"], outputs, domain="ai.onnx.ml", **attributes)
    given = helper.make_tensor_value_info("x", 1, ["batch", 4])
    kind = 7 if action == "label" else 1
    made = helper.make_tensor_value_info(action, kind, None)
    graph = helper.make_graph([node], "policy", [given], [made])
    return helper.make_model(graph, ir_version=8, opset_imports=opsets)


def encoder_of(categories: list[int]) -> ModelProto:
    """A code of each of four numbers, summed with weights."""
    encoder = helper.make_node(
        "OneHotEncoder", ["x"], ["code"], domain="ai.onnx.ml", cats_int64s=categories, zeros=1
    )
    weight = np.arange(1.0, 9 * len(categories), 2.0, np.float32).reshape(-1, 1)
    nodes = [
        encoder,
        helper.make_node("Flatten", ["code"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["y"]),
    ]
    given = helper.make_tensor_value_info("x", 1, ["batch", 4])
    made = helper.make_tensor_value_info("y", 1, None)
    held = [numpy_helper.from_array(weight[: 4 * len(categories)], "weight")]
    graph = helper.make_graph(nodes, "policy", [given], [made], held)
    return helper.make_model(graph, ir_version=8, opset_imports=OPSETS)


@pytest.mark.parametrize(
    "model",
    [
        model_of("LinearRegressor", ["y"], "y", coefficients=WEIGHTS, targets=3),
        model_of(
            "LinearRegressor",
            ["y"],
            "y",
            coefficients=WEIGHTS,
            targets=3,
            intercepts=[1.0, -2.0, 0.5],
        ),
        *(
            model_of("LinearClassifier", ["label", "s"], action, post_transform=kind, **CLASSIFIER)
            for kind in ("NONE", "SOFTMAX", "LOGISTIC")
            for action in ("label", "s")
        ),
        model_of("Binarizer", ["y"], "y", threshold=0.25),
        model_of("Binarizer", ["y"], "y", opsets=[helper.make_opsetid("ai.onnx.ml", 1)]),
        model_of("Normalizer", ["y"], "y", norm="L1"),
        model_of("Normalizer", ["y"], "y", norm="L2"),
        encoder_of([-2, 0, 1, 5]),
        encoder_of([3]),
    ],
    ids=lambda model: " ".join([model.graph.node[0].op_type, model.graph.output[0].name]),
)
def test_it_computes_as_onnxruntime(model: ModelProto, tmp_path: Path) -> None:
    given = np.random.default_rng(4).normal(size=(200, 4)).astype(np.float32)
    given[0] = 0
    given[1] = 0.25
    given[100:] *= 4
    given[150:] = np.round(given[150:])
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": given})[0]
    found = graph_of(model, tmp_path).forward(given)
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "changes", "why"),
    [
        ("LinearClassifier", {"classlabels_ints": [0, 2, 1]}, "labels are not 0, 1, 2"),
        ("LinearClassifier", {"intercepts": [0.1]}, "an intercept for each label"),
        ("LinearClassifier", {"post_transform": "PROBIT"}, "post_transform is PROBIT"),
        ("LinearClassifier", {"coefficients": WEIGHTS[:-1]}, "11 weights for 3 results of 4"),
        ("LinearRegressor", {"targets": 2}, "12 weights for 2 results of 4"),
        ("LinearRegressor", {"post_transform": "SOFTMAX"}, "transforms what it has predicted"),
        ("Normalizer", {"norm": "MAX"}, "divides by the greatest"),
        ("OneHotEncoder", {"cats_strings": ["left", "right"]}, "its categories are text; whole"),
        ("OneHotEncoder", {"cats_int64s": [0, 2000]}, "not more than 1000 apart, are possible"),
    ],
)
def test_what_is_not_read_is_named(
    operator: str, changes: dict[str, Any], why: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "LinearClassifier": CLASSIFIER,
        "LinearRegressor": {"coefficients": WEIGHTS, "targets": 3},
        "Normalizer": {},
        "OneHotEncoder": {},
    }[operator]
    outputs = ["label", "s"] if operator == "LinearClassifier" else ["label"]
    with pytest.raises(UserError, match=why):
        graph_of(model_of(operator, outputs, "label", **(given | changes)), tmp_path)
