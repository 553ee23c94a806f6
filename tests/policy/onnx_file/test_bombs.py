"""Small files that would grow large or deep inside the reader: refused, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.reader import read_onnx

MEMORY_BYTES = 400 * 2**20


def saved(
    path: Path, nodes: list[onnx.NodeProto], arrays: dict[str, np.ndarray], width: int = 4
) -> Path:
    graph = helper.make_graph(
        nodes,
        "bomb",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ("batch", width))],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    return path


def chain(count: int, operator: str, *more: str, repeat: bool = False) -> list[onnx.NodeProto]:
    """`count` times the operator, each on what the one before makes; the last makes "action"."""
    names = ["observation", *(f"v{i}" for i in range(count - 1)), "action"]
    attributes = {"axis": 1} if operator == "Concat" else {}
    return [
        helper.make_node(operator, [a, *([a] if repeat else []), *more], [b], **attributes)
        for a, b in zip(names, names[1:], strict=False)
    ]


def resident_bytes(name: str) -> int:
    """Of this process: VmRSS, now, or VmHWM, the most since it was last cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(name)]
    return int(line.split()[1]) * 1024


def refused_in_bounds(path: Path) -> str:
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts from here
    with pytest.raises(UserError) as caught:
        read_onnx(path)
    assert resident_bytes("VmHWM") - before < MEMORY_BYTES
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_doubled_again_and_again(tmp_path: Path) -> None:
    nodes = chain(60, "Concat", repeat=True)
    assert "numbers; a policy for a microcontroller" in refused_in_bounds(
        saved(tmp_path / "m.onnx", nodes, {})
    )


def test_one_large_weight_used_by_many_layers(tmp_path: Path) -> None:
    weight = {"w": np.eye(1000, dtype=np.float32)}
    path = saved(tmp_path / "m.onnx", chain(200, "MatMul", "w"), weight, width=1000)
    assert "would hold 1000000 numbers" in refused_in_bounds(path)


def test_activations_that_make_large_layers(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", chain(3, "Relu"), {}, width=16_000)
    assert "would hold 768000000 numbers" in refused_in_bounds(path)


def test_more_layers_than_a_policy_has(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", chain(9000, "MatMul", "w"), {"w": np.eye(4, dtype="f4")})
    assert "more than 256 layers" in refused_in_bounds(path)


def test_functions_of_functions(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", chain(3000, "Mul", repeat=True), {})
    assert "more than 256 layers" in refused_in_bounds(path)


def test_shapes_that_name_large_constants(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Add", ["observation", "zeros"], ["action"]),
    ]
    shape = {"shape": np.array([2**40, 2**20], np.int64)}
    path = saved(tmp_path / "m.onnx", nodes, shape)
    assert "numbers; a policy for a microcontroller" in refused_in_bounds(path)
    path = saved(tmp_path / "m.onnx", chain(1, "Relu"), {}, width=2**40)
    assert "has 1099511627776 values" in refused_in_bounds(path)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    size, shown = len(content), bytearray()
    while size > 0x7F:
        shown.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes(shown) + bytes([size]) + content


def test_graphs_within_graphs(tmp_path: Path) -> None:
    """protobuf gives up at a depth of 100; the reader looks into no subgraph at all."""
    path = tmp_path / "m.onnx"
    for depth, message in ((20, "(If) cannot be exported"), (2_000, "not a whole ONNX file")):
        whole = saved(path, chain(1, "If"), {}).read_bytes()
        inner = b""
        for _ in range(depth):
            inner = field(1, field(4, b"If") + field(5, field(6, inner)))  # node, attribute, graph
        node = field(1, b"observation") + field(2, b"action") + field(4, b"If")
        nested = field(1, node + field(5, field(6, inner)))
        model = onnx.ModelProto.FromString(whole)
        del model.graph.node[:]
        path.write_bytes(model.SerializeToString() + field(7, nested))
        assert message in refused_in_bounds(path)


def test_more_nodes_than_a_policy_has(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", chain(10_001, "Identity"), {})
    assert "10001 nodes; a policy has at most 10000" in refused_in_bounds(path)
