"""What read_onnx refuses, in one line: what is no MLP, and files that are damaged or lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.policy.onnx_file.chains import (
    B0,
    B1,
    GEMM,
    HEAD,
    TAIL,
    VECTOR,
    W0,
    W1,
    model,
    saved,
)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_onnx(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and len(message) < 600
    return message


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([*HEAD, ("LSTM", ["x"]), TAIL[1]], "node 'LSTM_1' (LSTM) cannot be exported: it does not"),
        ([*HEAD, ("Scan", ["x"]), TAIL[1]], "node 'Scan_1' (Scan) cannot be exported: of recurre"),
        ([*HEAD, ("MaxPool", ["x"]), TAIL[1]], "(MaxPool) cannot be exported: of convolutions"),
        ([*HEAD, ("Conv", ["x", W1]), TAIL[1]], "an image of the shape [1, 6] and a kernel"),
        ([*HEAD, ("Det", ["x"]), TAIL[1]], "(Det) cannot be exported: this operator is not"),
        ([*HEAD, ("Softmax", ["x"], {"axis": 0})], "it goes across the observations of a batch"),
        ([*HEAD, ("Pow", ["x", np.float32(range(6))]), TAIL[1]], "powers of [0.0, 1.0"),
        ([*HEAD, ("Div", ["x", np.float32(0)]), TAIL[1]], "a division is by 0"),
        ([*HEAD, ("Add", ["x", "observation"]), TAIL[1]], "shapes [1, 6] and [1, 4] do not fit"),
        ([*HEAD, ("Expand", ["x", np.int64([3, 6])]), *TAIL], "repeat the observations"),
        ([*HEAD, ("Gather", ["x", np.int64([6])], {"axis": 1})], "an index is outside of 6 values"),
        ([*HEAD, ("Gather", ["x", np.int64([0])])], "takes some of the observations of a batch"),
        (
            [*HEAD, ("GatherND", ["x", np.int64([[0]])])],
            "takes some of the observations of a batch",
        ),
        ([*HEAD, ("IsNaN", ["x"])], "leave isnan, isinf or nan_to_num out"),
        ([*HEAD, ("ArgMax", ["x"], {"axis": 0})], "goes across the observations"),
        ([*HEAD, ("Squeeze", ["x", np.int64([0])])], "takes the batch away"),
        ([("Gemm", ["x", W1, B1], GEMM)], "its weights take 6 values but 4 come in"),
        ([("MatMul", [W0, "x"]), *TAIL], "mix the observations"),
        ([("Flatten", ["x"], {"axis": 0}), *HEAD, *TAIL], "axis 0"),
        ([*HEAD, ("Reshape", ["x", np.array([3, -1])]), *TAIL], "mix the observations"),
        ([*HEAD, ("Cast", ["x"], {"to": TensorProto.STRING}), *TAIL], "casts to string; float"),
        ([("Gemm", ["x", W0, B0], {"transB": 0.5}), *TAIL], "transB is not a whole number"),
        (
            [("Mul", ["x", np.ones(7, np.float32)]), *HEAD, *TAIL],
            "shapes [1, 4] and [7] do not",
        ),
        ([("Gemm", ["x", np.full_like(W0, np.nan), B0], GEMM), *TAIL], "24 of the weights are not"),
        ([("Gemm", ["x", W0, "nowhere"], GEMM), *TAIL], "reads 'nowhere', which nothing"),
        ([*HEAD, *TAIL, ("Mul", ["x", np.float32([0, 0])])], "does not depend on the observation"),
        ([*HEAD, *TAIL, ("Min", ["x", np.float32(np.nan)])], "a limit is NaN"),
        ([("MatMul", ["x", np.array(["a"] * 4)]), *TAIL], "is of type STRING"),
    ],
)
def test_what_is_not_an_mlp_is_named(
    nodes: list[tuple[Any, ...]], message: str, tmp_path: Path
) -> None:
    assert message in refused(saved(tmp_path, model(*nodes, out_shape=None)))


def test_other_domains_are_named(tmp_path: Path) -> None:
    proto = model(*HEAD, *TAIL)
    proto.graph.node[0].domain = "com.microsoft"
    assert "com.microsoft.Gemm" in refused(saved(tmp_path, proto))
    proto.graph.node[0].op_type = "BiasSoftmax"
    assert "give the file before onnxruntime optimised it" in refused(saved(tmp_path, proto))
    proto.graph.node[0].op_type = "QLinearConcat"
    assert "export the policy as it was before quantisation" in refused(saved(tmp_path, proto))


def test_cycles_inputs_outputs_and_types(tmp_path: Path) -> None:
    cycle = model(*HEAD, *TAIL)
    cycle.graph.node[0].input[0] = "v1"
    assert "cycle" in refused(saved(tmp_path, cycle))
    backward = model(*HEAD, *TAIL)
    nodes = list(backward.graph.node)[::-1]
    del backward.graph.node[:]
    backward.graph.node.extend(nodes)
    assert "out of order" in refused(saved(tmp_path, backward))
    none = model(*HEAD, *TAIL)
    del none.graph.output[:]
    assert "no output" in refused(saved(tmp_path, none))
    two = model(("Add", ["x", "second"]), *HEAD, *TAIL)
    two.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1, 4]))
    two.graph.input[1].type.tensor_type.elem_type = TensorProto.STRING
    assert "not of type float" in refused(saved(tmp_path, two))
    whole = model(*HEAD, *TAIL, kind=TensorProto.INT64)
    assert "nodes use it before they cast it to float" in refused(saved(tmp_path, whole))
    assert "opset 5" in refused(saved(tmp_path, model(*HEAD, *TAIL, opset=5)))
    wrong = model(*HEAD, *TAIL, out_shape=("batch", 3))
    assert "declared with 3 values" in refused(saved(tmp_path, wrong))


def test_what_tensorflow_writes_is_refused_with_its_mend(tmp_path: Path) -> None:
    """Weights that are inputs, operators of its own, and sequences of any length."""
    weights = model(("MatMul", ["x", "weights"]), *TAIL)
    float32 = TensorProto.FLOAT
    weights.graph.input.append(helper.make_tensor_value_info("weights", float32, [4, 6]))
    assert "if one holds weights, make it a constant" in refused(saved(tmp_path, weights))
    weights.graph.input[0].CopyFrom(helper.make_tensor_value_info("observation", float32, [1, 4]))
    assert "give all as [batch, n], and weights as const" in refused(saved(tmp_path, weights))
    own = saved(tmp_path, model(*HEAD, ("Erfc", ["x"]), *TAIL))
    assert "ONNX has no such operator, so that nothing can run the file" in refused(own)
    sequence = saved(tmp_path, model(("MatMul", ["x", W0.T]), *TAIL, shape=("batch", "time", 4)))
    message = refused(sequence)
    assert "takes a sequence of any length; export it for one step, [batch, 1, 4]" in message


def test_metadata_that_does_not_fit(tmp_path: Path) -> None:
    proto = model(*HEAD, *TAIL)
    for text, message in [("{", "not JSON"), ("[]", "not a JSON object"), ("{}", "observation")]:
        helper.set_model_props(proto, {"sparsectl.signals": text})
        assert message in refused(saved(tmp_path, proto))
    signals = '{"observation": [{"name": "o"}], "action": [{"name": "a"}, {"name": "b"}]}'
    helper.set_model_props(proto, {"sparsectl.signals": signals})
    assert "layer 0 takes 4 values but the observation has 1" in refused(saved(tmp_path, proto))


def test_tensors_that_lie(tmp_path: Path) -> None:
    def lie(**changes: Any) -> str:
        proto = model(*HEAD, *TAIL)
        tensor = proto.graph.initializer[0]
        for name, value in changes.items():
            if name == "dims":
                del tensor.dims[:]
                tensor.dims.extend(value)
            else:
                setattr(tensor, name, value)
        return refused(saved(tmp_path, proto))

    assert "has 96 bytes, not 100" in lie(dims=[5, 5])
    assert "numbers; a policy" in lie(dims=[2**40, 2**20])
    assert "has the shape [-1, 4]" in lie(dims=[-1, 4])
    assert "has 3 bytes" in lie(raw_data=b"abc")
    assert "is of type number 99" in lie(data_type=99)


def test_sparse_tensors_that_lie(tmp_path: Path) -> None:
    for dims, indices in [([2**30, 2**30], [0]), ([6, 4], [24]), ([6, 4], [-1]), ([6, 4], [0, 1])]:
        proto = model(*HEAD, *TAIL)
        proto.graph.initializer.pop(0)
        sparse = helper.make_sparse_tensor(
            numpy_helper.from_array(np.ones(1, np.float32), "c0"),
            numpy_helper.from_array(np.array(indices, np.int64)),
            dims,
        )
        proto.graph.sparse_initializer.append(sparse)
        refused(saved(tmp_path, proto))


def test_a_bomb_of_constants_is_refused(tmp_path: Path) -> None:
    column, row = np.ones((60_000, 1), np.float32), np.ones((1, 60_000), np.float32)
    proto = model(("MatMul", ["x", "big"]), *TAIL)
    proto.graph.initializer.append(numpy_helper.from_array(column, "column"))
    proto.graph.initializer.append(numpy_helper.from_array(row, "row"))
    proto.graph.node.insert(0, helper.make_node("Mul", ["column", "row"], ["big"]))
    assert "3600000000 numbers" in refused(saved(tmp_path, proto))


def external(tmp_path: Path, **fields: Any) -> Path:
    proto = model(*HEAD, *TAIL)
    tensor = proto.graph.initializer[0]
    raw = tensor.raw_data
    (tmp_path / "weights.bin").write_bytes(b"\0" * 8 + raw)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    given_fields = {"location": "weights.bin", "offset": "8", "length": str(len(raw))} | fields
    for key, value in given_fields.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return saved(tmp_path, proto)


def test_external_data_inside_the_folder_is_read(tmp_path: Path) -> None:
    assert np.array_equal(read_onnx(external(tmp_path)).layers[0].weight, W0)


def test_external_data_that_leaves_the_folder_or_is_short(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 200)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin"):
        assert "outside the model's folder" in refused(external(folder, location=location))
    assert "which is not there" in refused(external(folder, location="none.bin"))
    assert "needs bytes 9 to 105" in refused(external(folder, offset="9"))
    assert "broken external data" in refused(external(folder, offset="-8"))
    assert "broken external data" in refused(external(folder, offset="x"))
    assert "names no file" in refused(external(folder, location=""))
    assert "which is 96 bytes, but has 4" in refused(external(folder, length="4"))
    assert "File name too long" in refused(external(folder, location="w" * 5000))


def test_two_tensors_of_one_name(tmp_path: Path) -> None:
    """onnxruntime takes the first, onnx's reference the last."""
    proto = model(*HEAD, *TAIL)
    twice = proto.graph.initializer.add()
    twice.CopyFrom(proto.graph.initializer[0])
    twice.raw_data = (2 * W0).astype(np.float32).tobytes()
    assert f"2 of its tensors are called {twice.name!r}" in refused(saved(tmp_path, proto))
    proto = model(*HEAD, *TAIL)
    made = proto.graph.initializer[0]
    proto.graph.node.insert(0, helper.make_node("Constant", [], [made.name], value=made))
    assert "which is there already" in refused(saved(tmp_path, proto))


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert "does not exist" in refused(path)
    for content in (b"", b"hello world", b"PK\x03\x04" + b"\0" * 50, b"\x80\x04K\x01.", b"\n" * 99):
        path.write_bytes(content)
        refused(path)
    with path.open("wb") as file:
        file.truncate(2**35)
    assert "34359738368 bytes" in refused(path)


def read_or_refuse(path: Path) -> None:
    try:
        read_onnx(path)
    except UserError as error:
        assert "\n" not in str(error)


def test_every_truncation(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    whole = model(*HEAD, *TAIL).SerializeToString()
    for length in range(1, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        refused(path)


WHOLE = model(("Sub", ["x", VECTOR]), *HEAD, *TAIL, ("Clip", ["x", np.float32(-1)]))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = bytearray(WHOLE.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(damaged))
    read_or_refuse(path)
