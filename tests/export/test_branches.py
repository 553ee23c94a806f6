"""What is inside the branch of an If counts as much as what is outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.common.signal_ranges import Pair
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.onnx_source import OnnxSource
from tests.policy.onnx_file.onnx_files import run_file, write_file

node = helper.make_node
WEIGHT = np.random.default_rng(3).normal(0, 0.7, (2, 1)).astype(np.float32)


def branch(output: str, *nodes: NodeProto, **constants: Any) -> GraphProto:
    value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.array(array), key) for key, array in constants.items()]
    return helper.make_graph(nodes, "branch", [], [value], tensors)


def steps(name: str, scale: float) -> NodeProto:
    """floor(scale y) / scale in the branch of a branch that are taken; names as in any other."""
    inner = branch(
        "out",
        node("Mul", ["y", "scale"], ["wide"]),
        node("Floor", ["wide"], ["whole"], name="steps"),
        node("Div", ["whole", "scale"], ["out"]),
        scale=np.float32(scale),
    )
    other = branch("out", node("Neg", ["y"], ["out"]))
    both = {"then_branch": inner, "else_branch": other}
    then = branch("out", node("If", ["inside"], ["out"], **both), inside=True)
    return node("If", ["c"], [name], then_branch=then, else_branch=other)


def stepped(path: Path) -> Path:
    """The condition follows from the shape of the observation."""
    nodes = [
        node("MatMul", ["x", "w"], ["y"]),
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "one"], ["shape"]),
        node("Cast", ["shape"], ["c"], to=TensorProto.BOOL),
        steps("coarse", 2.0),
        steps("fine", 16.0),
        node("Sum", ["coarse", "fine"], ["action"]),
    ]
    return write_file(path, nodes, {"w": WEIGHT, "one": np.array(1)}, {"x": ["b", 2]})


def test_thresholds_inside_are_found(tmp_path: Path) -> None:
    source = OnnxSource(stepped(tmp_path / "model.onnx"), None, (2, 1))
    assert source.thresholds == ("Floor 'steps'[0]",) * 2
    x = np.random.default_rng(0).uniform(-3, 3, (200, 2)).astype(np.float32)
    assert np.array_equal(source.run(x), run_file(tmp_path / "model.onnx", x))
    y = x.astype(np.float64) @ WEIGHT.astype(np.float64)
    exact = np.floor(2 * y) / 2 + np.floor(16 * y) / 16
    np.testing.assert_allclose(source.exact(x), exact, atol=1e-12)
    assert np.sign(source.margins(x)) == pytest.approx(np.sign(np.sin(np.pi * y * [2, 16])))


def test_an_encoding_that_moves_a_step_inside_is_refused(tmp_path: Path) -> None:
    """It is as if the branch stood outside."""
    path = stepped(tmp_path / "model.onnx")
    known: dict[str, Any] = {
        "observations": 200,
        "range": (Pair(-3.0, 3.0),),
        "out": tmp_path / "policy",
    }
    with pytest.raises(UserError, match="beside a threshold"):
        export_policy(ExportConfig(path, encoding="csr-float16", error=0.01, **known))
    assert export_policy(ExportConfig(path, encoding="dense", **known))["bit_exact"]


def test_what_the_reference_cannot_follow_stays(tmp_path: Path) -> None:
    path = stepped(tmp_path / "model.onnx")
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    odd = [
        node("Cast", ["shape"], ["f"], to=1),
        node("QuickGelu", ["f"], ["g"], domain="com.microsoft"),
    ]
    odd.append(node("Cast", ["g"], ["c"], to=TensorProto.BOOL))
    nodes = [each for each in model.graph.node if each.output[0] != "c"]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:3], *odd, *nodes[3:]])
    path.write_bytes(model.SerializeToString())
    source = OnnxSource(path, None, (2, 1))
    assert source.run(np.ones((1, 2), np.float32)).shape == (1, 1)
