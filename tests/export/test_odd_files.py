"""Files in forms that few exporters write: each acts as in onnxruntime, or is refused in one line
that names the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from tests.policy.onnx_file.onnx_files import write_file

node = helper.make_node
RANDOM = np.random.default_rng(3)
WEIGHT = RANDOM.normal(0, 0.7, (4, 2)).astype(np.float32)
BIAS = RANDOM.normal(0, 0.7, 2).astype(np.float32)
LAST = node("MatMul", ["h", "w"], ["action"])


def dense(path: Path, *before: NodeProto, **constants: np.ndarray) -> Path:
    return write_file(path, [*before, LAST], {"w": WEIGHT, **constants}, {"x": ["b", 4]})


def in_type(path: Path, dtype: int) -> Path:
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    nodes = [node("Gemm", ["x", "w", "b"], ["h"]), node("Tanh", ["h"], ["action"])]
    constants = {"w": WEIGHT.astype(kind), "b": BIAS.astype(kind)}
    return write_file(path, nodes, constants, {"x": ["b", 4]}, dtype=dtype)


def branch(name: str, *nodes: NodeProto, **constants: np.ndarray) -> GraphProto:
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    return helper.make_graph(nodes, "branch", [], [value], tensors)


def branches(path: Path, *before: NodeProto, **constants: np.ndarray) -> Path:
    """If `c` holds, relu(x) or, if `d` does not, 2 x; else tanh(x)."""
    relu = branch("r", node("Relu", ["x"], ["r"]))
    double = branch("m", node("Mul", ["x", "two"], ["m"]), two=np.float32(2))
    then = branch("n", node("If", ["d"], ["n"], then_branch=relu, else_branch=double))
    otherwise = branch("t", node("Tanh", ["x"], ["t"]))
    outer = node("If", ["c"], ["h"], then_branch=then, else_branch=otherwise)
    return dense(path, *before, outer, d=np.array(False), **constants)


def branches_by_observation(path: Path) -> Path:
    """The condition is whether the greatest is 0."""
    nodes = [
        node("ReduceMax", ["x"], ["s"], axes=[1], keepdims=0),
        node("Cast", ["s"], ["c"], to=9),
    ]
    return branches(path, *nodes)


def table(path: Path, operator: str, levels: int = 2) -> Path:
    """levels[argmax(x)], a row of as many numbers for each of 4 choices, as torch writes it."""
    rows = np.random.default_rng(3).normal(0, 1, (4, levels)).astype(np.float32)
    constants = {"rows": rows, "four": np.array(4), "off_on": np.float32([0, 1])}
    nodes = {
        "Gather": [node("Gather", ["rows", "i"], ["action"])],
        "GatherND": [
            node("Unsqueeze", ["i", "end"], ["j"]),
            node("GatherND", ["rows", "j"], ["action"]),
        ],
        "OneHot": [
            node("OneHot", ["i", "four", "off_on"], ["o"], axis=-1),
            node("MatMul", ["o", "rows"], ["action"]),
        ],
    }
    choice = node("ArgMax", ["x"], ["i"], axis=1, keepdims=0)
    constants["end"] = np.array([-1])
    return write_file(path, [choice, *nodes[operator]], constants, {"x": ["b", 4]})


def table_from_the_end(path: Path) -> Path:
    """levels[argmax(x) - 1], whose first is the last level."""
    levels = np.float32([[0.5], [2], [-1], [7]])
    nodes = [
        node("ArgMax", ["x"], ["i"], axis=1, keepdims=0),
        node("Sub", ["i", "one"], ["j"]),
        node("Gather", ["levels", "j"], ["action"]),
    ]
    return write_file(path, nodes, {"levels": levels, "one": np.array(1)}, {"x": ["b", 4]})


def masked(path: Path, mask: Any, operator: str = "Add") -> Path:
    given = ["h", "mask"] if operator == "Add" else ["kept", "h", "mask"]
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Greater", ["h", "zero"], ["kept"]),
        node(operator, given, ["l"]),
        node("ArgMax", ["l"], ["i"], axis=1, keepdims=1),
        node("Cast", ["i"], ["action"], to=TensorProto.FLOAT),
    ]
    constants = {"w": WEIGHT, "mask": np.float32(mask), "zero": np.float32(0)}
    return write_file(path, nodes, constants, {"x": ["b", 4]})


def choice_of_roots(path: Path) -> Path:
    """The greatest of roots of numbers some of which are under 0."""
    nodes = [
        node("Sqrt", ["x"], ["r"]),
        node("ArgMax", ["r"], ["i"], axis=1, keepdims=1),
        node("Cast", ["i"], ["action"], to=TensorProto.FLOAT),
    ]
    return write_file(path, nodes, {}, {"x": ["b", 4]})


def pooling(path: Path) -> Path:
    """With an operator before it that cannot be read either."""
    nodes = [
        node("Mod", ["x", "one"], ["m"], fmod=1),
        node("Reshape", ["m", "image"], ["i"]),
        node("MaxPool", ["i"], ["c"], kernel_shape=[1]),
        node("Flatten", ["c"], ["h"]),
    ]
    return dense(path, *nodes, one=np.array(1, np.float32), image=np.array([-1, 1, 4]))


def sizes_with_a_remainder(path: Path) -> Path:
    """9 mod 5 is 4, as nn.Unflatten's exporter has it."""
    nodes = [
        node("Mod", ["nine", "five"], ["four"]),
        node("Concat", ["all", "four"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["h"]),
    ]
    numbers = {"nine": np.array([9]), "five": np.array([5]), "all": np.array([-1])}
    return dense(path, *nodes, **numbers)


def weights_in_bytes(path: Path) -> Path:
    """Only the weights: by itself onnxruntime would round the observation to bytes too."""
    nodes = [
        node("DequantizeLinear", ["bytes", "scale", "zero"], ["v"]),
        node("MatMul", ["x", "v"], ["h"]),
        node("MatMul", ["h", "w"], ["action"]),
    ]
    numbers = {
        "bytes": RANDOM.integers(-100, 100, (4, 4)).astype(np.int8),
        "scale": np.array(0.01, np.float32),
        "zero": np.array(3, np.int8),
        "w": WEIGHT,
    }
    return write_file(path, nodes, numbers, {"x": ["b", 4]})


def to_bytes(path: Path, *limits: float) -> Path:
    """A cast to uint8, of what was limited where there are limits."""
    nodes = [node("Clip", ["x", "low", "high"], ["k"])] if limits else []
    nodes += [
        node("Cast", [nodes[0].output[0] if limits else "x"], ["u"], to=TensorProto.UINT8),
        node("Cast", ["u"], ["h"], to=TensorProto.FLOAT),
    ]
    ends = zip(("low", "high"), limits, strict=False)
    return dense(path, *nodes, **{name: np.array(end, np.float32) for name, end in ends})


def own_function(path: Path) -> Path:
    dense(path, node("Relu", ["x"], ["h"]))
    model = onnx.load(path)
    model.graph.node[0].domain, model.graph.node[0].op_type = "mine", "Twice"
    opsets = [helper.make_opsetid("", 17)]
    body = [node("Add", ["a", "a"], ["b"])]
    model.functions.append(helper.make_function("mine", "Twice", ["a"], ["b"], body, opsets))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    onnx.save(model, path)
    return path


ACTS: dict[str, Callable[[Path], Path]] = {
    "float64": lambda path: in_type(path, TensorProto.DOUBLE),
    "float16": lambda path: in_type(path, TensorProto.FLOAT16),
    "small sizes": lambda path: dense(path, node("LpNormalization", ["x"], ["h"], axis=-1)),
    "remainder": sizes_with_a_remainder,
    "weights in bytes": weights_in_bytes,
    "limited and cast to bytes": lambda path: to_bytes(path, 0, 200),
    "a function of its own": own_function,
    "a branch": lambda path: branches(path, c=np.array([False])),
    "a branch in a branch": lambda path: branches(path, c=np.array(True)),
    "a level of each choice": lambda path: table(path, "GatherND", 1),
    "rows by Gather": lambda path: table(path, "Gather"),
    "rows by GatherND": lambda path: table(path, "GatherND"),
    "rows by OneHot": lambda path: table(path, "OneHot"),
    "levels from the end": table_from_the_end,
    "a mask of -1e9": lambda path: masked(path, -1e9, "Where"),
    "elu near 0": lambda path: dense(path, node("Elu", ["x"], ["h"], alpha=1.5)),
}

REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "branches": (
        branches_by_observation,
        r"\(If\) cannot be exported: its condition is no constant; write both branches and choose",
    ),
    "a mask of -inf": (
        lambda path: masked(path, [0, -np.inf, 0]),
        r"\(Add\) cannot be exported: its input 1 has -inf; mask with a finite number",
    ),
    "a mask of -inf by the observation": (
        lambda path: masked(path, -np.inf, "Where"),
        r"\(Where\) cannot be exported: its input 2 has -inf; mask with a finite number",
    ),
    "a mask of NaN": (
        lambda path: masked(path, [0, np.nan, 0]),
        r"\(Add\) cannot be exported: its input 1 has nan; write a finite number",
    ),
    "an infinite action": (
        lambda path: dense(path, node("Max", ["x", "m"], ["h"]), m=np.float32(np.inf)),
        r"\(Max\) cannot be exported: a limit is infinite on the other side",
    ),
    "a logarithm of 0": (
        lambda path: write_file(
            path,
            [node("Relu", ["x"], ["r"]), node("Log", ["r"], ["action"])],
            {},
            {"x": ["b", 4]},
        ),
        r"action 0 of m.onnx itself is -inf for the observation .* the logarithm of 0",
    ),
    "a choice among NaN": (
        choice_of_roots,
        r"action 0 in C, where no argmax chooses among NaN, is nan for the observation",
    ),
    "the greatest two": (
        lambda path: dense(
            path, node("TopK", ["x", "k"], ["h", "i"], axis=1), k=np.array([4], np.int64)
        ),
        r"\(TopK\) cannot be exported: of sorted values only the greatest is read; take max",
    ),
    "written into others": (
        lambda path: dense(
            path,
            node("ScatterElements", ["x", "i", "u"], ["h"], axis=1),
            i=np.array([[1]]),
            u=np.float32([[5]]),
        ),
        r"\(ScatterElements\) cannot be exported: values are not written into others; join",
    ),
    "pooling": (pooling, r"\(MaxPool\) cannot be exported: of convolutions only Conv"),
    "nan at 0": (
        lambda path: dense(path, node("MeanVarianceNormalization", ["x"], ["h"], axes=[1])),
        r"action 0 of m.onnx itself is nan for the observation \[0, 0, 0, 0\]: 0 / 0",
    ),
    "cast to bytes": (to_bytes, "casts to uint8 what may lie outside .* clip before it"),
    "limited too far": (
        lambda path: to_bytes(path, -2, 200),
        "casts to uint8 what may lie outside",
    ),
    "an arc tangent": (
        lambda path: dense(path, node("Atan", ["x"], ["h"])),
        "there is no C for this function; use the angle's sine and cosine",
    ),
    "a name twice": (
        lambda path: dense(path, node("Relu", ["x"], ["h"]), node("Tanh", ["x"], ["h"])),
        "makes 'h', which is there already",
    ),
    "0 / 0": (
        lambda path: dense(path, node("Div", ["x", "x"], ["h"])),
        r"action 0 of m.onnx itself is nan .* 0 / 0, .*--calibration FILE",
    ),
}


@pytest.mark.parametrize("name", ACTS)
def test_it_acts_as_in_onnxruntime(name: str, tmp_path: Path) -> None:
    path = ACTS[name](tmp_path / "model.onnx")
    assert export_policy(ExportConfig(path, tmp_path / "out", observations=200))["bit_exact"]


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(UserError, match=reason) as raised:
        export_policy(ExportConfig(make(tmp_path / "m.onnx"), tmp_path / "out", observations=200))
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_an_input_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["h"]), LAST]
    inputs = {"x": ["b", 4], "state": ["b", 3]}
    path = write_file(tmp_path / "model.onnx", nodes, {"w": WEIGHT}, inputs)
    result = export_policy(ExportConfig(path, tmp_path / "p", observations=200))
    assert result["unused_inputs"] == ["state"]
    assert json.loads((tmp_path / "p" / "policy.json").read_text())["unused_inputs"] == ["state"]
    assert "not read     state: leads to no action" in (tmp_path / "p" / "policy.h").read_text()
    alone = write_file(tmp_path / "alone.onnx", nodes, {"w": WEIGHT}, {"x": ["b", 4]})
    assert "unused_inputs" not in export_policy(ExportConfig(alone, tmp_path / "q"))
