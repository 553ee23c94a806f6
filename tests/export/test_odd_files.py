"""Files in forms that few exporters write: each acts as in onnxruntime, or is refused in one line
that names the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

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


def branches(path: Path) -> Path:
    taken = helper.make_tensor_value_info("taken", TensorProto.FLOAT, None)
    inner = helper.make_graph([node("Relu", ["x"], ["taken"])], "inner", [], [taken])
    both = {"then_branch": inner, "else_branch": inner}
    return dense(path, node("If", ["c"], ["h"], **both), c=np.array(True))


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
    "elu near 0": lambda path: dense(path, node("Elu", ["x"], ["h"], alpha=1.5)),
}

REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "branches": (branches, r"\(If\) cannot be exported: its branches are graphs"),
    "pooling": (pooling, r"\(MaxPool\) cannot be exported: of convolutions only Conv"),
    "nan at 0": (
        lambda path: dense(path, node("MeanVarianceNormalization", ["x"], ["h"], axes=[1])),
        "differs by inf from",
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
        r"action 0 is nan .* 0 / 0, .*--calibration FILE",
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
