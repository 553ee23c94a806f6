"""`load_acting` takes the ONNX files that `export` takes, and does what onnxruntime does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from sparsectl.common.errors import UserError
from sparsectl.policy.choices import Choices
from sparsectl.policy.load import load_acting
from tests.policy.onnx_file.onnx_files import mlp, write_file
from tests.policy.onnx_file.recurrent_models import cell_model

ROWS = np.random.default_rng(0).normal(0, 1, (40, 6)).astype(np.float32)


def beside(path: Path, names: tuple[str, str], sizes: tuple[int, int], dtype: str = "") -> Path:
    """Two outputs of these names and sizes; dtype: of the first, the place of the greatest."""
    nodes, constants = mlp("observation", "sums", 6, sum(sizes))
    constants["parts"] = np.array(sizes)
    nodes.append(helper.make_node("Split", ["sums", "parts"], ["first", names[1]], axis=1))
    if dtype == "index":
        nodes.append(helper.make_node("ArgMax", ["first"], [names[0]], axis=1, keepdims=0))
    else:
        nodes.append(helper.make_node("Tanh", ["first"], [names[0]]))
    values = [("observation", TensorProto.FLOAT, ["batch", 6])]
    (seen,) = [helper.make_tensor_value_info(*value) for value in values]
    kind = TensorProto.INT64 if dtype == "index" else TensorProto.FLOAT
    first = ["batch"] if dtype == "index" else ["batch", sizes[0]]
    shown = [
        helper.make_tensor_value_info(names[0], kind, first),
        helper.make_tensor_value_info(names[1], TensorProto.FLOAT, ["batch", sizes[1]]),
    ]
    from onnx import numpy_helper, save

    held = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "policy", [seen], shown, held)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def by_onnxruntime(path: Path, feeds: dict[str, Any], output: str) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run([output], feeds)[0]


@pytest.mark.parametrize(
    ("names", "sizes", "taken"),
    [
        (("mu", "value"), (3, 1), "mu"),
        (("action", "q_value"), (1, 1), "action"),  # SAC with its critic, one action
        (("actions", "q_values"), (2, 2), "actions"),  # and twin critics
        (("output", "log_prob"), (2, 1), "output"),
    ],
)
def test_the_actions_are_taken_of_several_outputs(
    names: tuple[str, str], sizes: tuple[int, int], taken: str, tmp_path: Path
) -> None:
    path = beside(tmp_path / "m.onnx", names, sizes)
    policy = load_acting(path)
    assert policy.choices is None
    expected = by_onnxruntime(path, {"observation": ROWS}, taken)
    np.testing.assert_allclose(policy.act(ROWS), expected, atol=1e-6)


def test_values_are_taken_beside_the_index(tmp_path: Path) -> None:
    path = beside(tmp_path / "m.onnx", ("action", "logits"), (4, 4), "index")
    assert load_acting(path).choices == Choices(0, 4, "logits")


def test_outputs_without_names_are_asked_about(tmp_path: Path) -> None:
    path = beside(tmp_path / "m.onnx", ("one", "two"), (2, 1))
    with pytest.raises(UserError, match="their names do not say which are the actions"):
        load_acting(path)


def test_several_inputs_and_images(tmp_path: Path) -> None:
    nodes, constants = mlp("joined", "action", 6, 2)
    joined = helper.make_node("Concat", ["a", "b"], ["joined"], axis=1)
    path = write_file(
        tmp_path / "m.onnx", [joined, *nodes], constants, {"a": ["n", 4], "b": ["n", 2]}
    )
    expected = by_onnxruntime(path, {"a": ROWS[:, :4], "b": ROWS[:, 4:]}, "action")
    np.testing.assert_allclose(load_acting(path).act(ROWS), expected, atol=1e-6)
    flat = helper.make_node("Flatten", ["image"], ["joined"])
    path = write_file(tmp_path / "i.onnx", [flat, *nodes], constants, {"image": ["n", 1, 2, 3]})
    expected = by_onnxruntime(path, {"image": ROWS.reshape(-1, 1, 2, 3)}, "action")
    np.testing.assert_allclose(load_acting(path).act(ROWS), expected, atol=1e-6)


def test_a_choice_of_several_inputs_is_an_index(tmp_path: Path) -> None:
    nodes, constants = mlp("joined", "sums", 6, 3)
    nodes.insert(0, helper.make_node("Concat", ["a", "b"], ["joined"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["sums"], ["index"], axis=1))
    nodes.append(helper.make_node("Cast", ["index"], ["action"], to=TensorProto.FLOAT))
    inputs = {"a": ["n", 4], "b": ["n", 2]}
    path = write_file(tmp_path / "m.onnx", nodes, constants, inputs)
    policy = load_acting(path)
    assert policy.choices == Choices(0, 3) and policy.action_size == 1
    expected = by_onnxruntime(path, {"a": ROWS[:, :4], "b": ROWS[:, 4:]}, "action")
    np.testing.assert_array_equal(policy.act(ROWS), expected)


def test_a_recurrent_file_that_chooses(tmp_path: Path) -> None:
    model = cell_model("GRU")
    (last,) = [node for node in model.graph.node if "action" in node.output]
    last.output[0] = "values"
    model.graph.node.extend(
        [
            helper.make_node("ArgMax", ["values"], ["index"], axis=-1, keepdims=1),
            helper.make_node("Cast", ["index"], ["action"], to=TensorProto.FLOAT),
        ]
    )
    (shown,) = [value for value in model.graph.output if value.name == "action"]
    shown.CopyFrom(helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, 1]))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert load_acting(path).choices == Choices(0, 2)
