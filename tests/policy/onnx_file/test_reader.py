"""read_onnx: MLPs in every dress, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.reader import read_onnx

GENERATOR = np.random.default_rng(5)
W0 = GENERATOR.normal(size=(6, 4)).astype(np.float32)
B0 = GENERATOR.normal(size=6).astype(np.float32)
W1 = GENERATOR.normal(size=(2, 6)).astype(np.float32)
B1 = GENERATOR.normal(size=2).astype(np.float32)
VECTOR = np.array([0.5, -2, 3, 0.25], np.float32)
SHAPE = np.array([-1, 2], np.int64)


def model(
    *nodes: tuple[Any, ...],
    shape: tuple[Any, ...] = ("batch", 4),
    out_shape: tuple[Any, ...] | None = ("batch", 2),
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model from (operator, inputs, attributes): "x" is what the node before makes; arrays are
    initializers."""
    made, constants, value = [], [], "observation"
    for index, (operator, inputs, *attributes) in enumerate(nodes):
        names = []
        for given_input in inputs:
            if isinstance(given_input, np.ndarray | np.generic):
                constants.append(
                    numpy_helper.from_array(np.asarray(given_input), f"c{len(constants)}")
                )
                names.append(constants[-1].name)
            else:
                names.append(value if given_input == "x" else given_input)
        value = "action" if index == len(nodes) - 1 else f"v{index}"
        extra = attributes[0] if attributes else {}
        made.append(helper.make_node(operator, names, [value], f"{operator}_{index}", **extra))
    graph = helper.make_graph(
        made,
        "mlp",
        [helper.make_tensor_value_info("observation", kind, shape)],
        [helper.make_tensor_value_info("action", kind, out_shape)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(tmp_path: Path, proto: onnx.ModelProto) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def agree_with_onnxruntime(path: Path, observations: np.ndarray, **shape: Any) -> PolicyGraph:
    graph = read_onnx(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    expected = session.run(None, {name: observations})[0]
    flat = observations.reshape(len(observations), -1) if observations.ndim > 1 else observations
    assert np.allclose(graph.forward(flat), expected, rtol=1e-5, atol=2e-6)
    return graph


GEMM = {"transB": 1}
TAIL = [("Relu", ["x"]), ("Gemm", ["x", W1, B1], GEMM)]
HEAD = [("Gemm", ["x", W0, B0], GEMM)]

DRESSES: dict[str, tuple[list[tuple[Any, ...]], dict[str, Any]]] = {
    "gemm": ([*HEAD, *TAIL], {}),
    "gemm, weights as they come": (
        [("Gemm", ["x", W0.T.copy(), B0]), ("Tanh", ["x"]), ("Gemm", ["x", W1.T.copy()])],
        {},
    ),
    "gemm, alpha and beta": (
        [("Gemm", ["x", W0, B0], {"transB": 1, "alpha": 0.5, "beta": -2.0}), *TAIL],
        {},
    ),
    "gemm, scalar bias": ([("Gemm", ["x", W0, np.float32([[0.5]])], GEMM), *TAIL], {}),
    "gemm, the observation on the right": (
        [
            ("Gemm", [W0, "x", B0[:, None].copy()], {"transB": 1}),
            ("Relu", ["x"]),
            ("Gemm", ["x", W1, B1], {"transA": 1, "transB": 1}),
        ],
        {},
    ),
    "matmul and add": (
        [
            ("MatMul", ["x", W0.T.copy()]),
            ("Add", ["x", B0]),
            ("Relu", ["x"]),
            ("MatMul", ["x", W1.T.copy()]),
            ("Add", [B1, "x"]),
            ("Tanh", ["x"]),
        ],
        {},
    ),
    "matmul without bias": (
        [("MatMul", ["x", W0.T.copy()]), ("Relu", ["x"]), ("MatMul", ["x", W1.T.copy()])],
        {},
    ),
    "matmul from the left": (
        [
            ("Transpose", ["x"], {"perm": [1, 0]}),
            ("MatMul", [W0, "x"]),
            ("Add", ["x", B0[:, None].copy()]),
            ("Relu", ["x"]),
            ("MatMul", [W1, "x"]),
            ("Transpose", ["x"]),
        ],
        {},
    ),
    "normaliser": ([("Sub", ["x", VECTOR]), ("Div", ["x", VECTOR[None] + 4]), *HEAD, *TAIL], {}),
    "normaliser, factors": (
        [("Mul", [VECTOR, "x"]), ("Add", [np.float32(2), "x"]), ("Neg", ["x"]), *HEAD, *TAIL],
        {},
    ),
    "constant minus value": ([("Sub", [VECTOR, "x"]), *HEAD, *TAIL], {}),
    "action scaled and clipped": (
        [
            *HEAD,
            *TAIL,
            ("Tanh", ["x"]),
            ("Mul", ["x", np.float32([2, 3])]),
            ("Add", ["x", np.float32([0.5, -1])]),
            ("Clip", ["x", np.float32(-1.5), np.float32(2)]),
        ],
        {},
    ),
    "clipped, then scaled, then clipped": (
        [
            *HEAD,
            *TAIL,
            ("Clip", ["x", np.float32(-1), np.float32(1)]),
            ("Mul", ["x", np.float32([2, 3])]),
            ("Add", ["x", np.float32([0.5])]),
            ("Min", ["x", np.float32([2, 3])]),
            ("Max", [np.float32([-1, -2]), "x"]),
        ],
        {},
    ),
    "clip of one side": ([*HEAD, *TAIL, ("Clip", ["x", "", np.float32(0.5)])], {}),
    "clip of old opsets": (
        [*HEAD, *TAIL, ("Clip", ["x"], {"min": -0.5, "max": 1.0})],
        {"opset": 9},
    ),
    "scaling between layers": (
        [
            *HEAD,
            ("Mul", ["x", np.float32(0.5)]),
            ("Relu", ["x"]),
            ("Add", ["x", np.float32(0.5)]),
            ("Div", ["x", np.float32(4)]),
            ("Gemm", ["x", W1, B1], GEMM),
        ],
        {},
    ),
    "what changes nothing": (
        [
            ("Identity", ["x"]),
            ("Cast", ["x"], {"to": TensorProto.FLOAT}),
            ("Flatten", ["x"]),
            *HEAD,
            ("Dropout", ["x"]),
            *TAIL,
            ("Reshape", ["x", SHAPE]),
        ],
        {},
    ),
    "unknown shapes": ([*HEAD, *TAIL], {"shape": ("batch", "n"), "out_shape": None}),
    "activations that are one operator": (
        [
            *HEAD,
            ("LeakyRelu", ["x"], {"alpha": 0.2}),
            ("Elu", ["x"], {"alpha": 0.7}),
            ("Selu", ["x"]),
            ("Softplus", ["x"]),
            ("Sigmoid", ["x"]),
            TAIL[1],
            ("Gelu", ["x"], {"approximate": "tanh"}),
        ],
        {"opset": 20},
    ),
    "relu after tanh, limits between layers": (
        [
            ("Clip", ["x", np.float32(-1), np.float32(1)]),
            *HEAD,
            ("Tanh", ["x"]),
            ("Relu", ["x"]),
            TAIL[1],
            ("Min", ["x", np.float32(0.5)]),
            ("Tanh", ["x"]),
        ],
        {},
    ),
    "probabilities": ([*HEAD, *TAIL, ("Softmax", ["x"])], {}),
    "batch normalisation": (
        [
            *HEAD,
            ("BatchNormalization", ["x", B0, B0, B0, B0**2]),
            ("Relu", ["x"]),
            ("BatchNormalization", ["x", B0, B0, B0, B0**2], {"epsilon": 0.1}),
            TAIL[1],
        ],
        {},
    ),
    "a learnt slope": ([*HEAD, ("PRelu", ["x", np.float32([0.3])]), TAIL[1]], {}),
    "some of the values": (
        [
            ("Gather", ["x", np.int64([3, -4, 2, 1])], {"axis": 1}),
            ("Slice", ["x", *[np.int64([n]) for n in (-1, -9, 1, -1)]]),
            *HEAD,
            ("Relu", ["x"]),
            ("Gather", ["x", np.int64([5, 0, 1, 1, 2, 4])], {"axis": -1}),
            TAIL[1],
            ("Slice", ["x", *[np.int64([n]) for n in (1, 2**62, 1)]]),
        ],
        {"out_shape": ("batch", 1)},
    ),
    "dimensions of one": (
        [
            ("Unsqueeze", ["x", np.int64([1])]),
            ("Reshape", ["x", np.int64([0, 2, -1])]),
            ("Sub", ["x", VECTOR.reshape(2, 2)]),
            ("Reshape", ["x", np.int64([-1, 1, 4])]),
            ("Squeeze", ["x", np.int64([1])]),
            *HEAD,
            *TAIL,
        ],
        {},
    ),
    "one observation at a time": ([*HEAD, *TAIL], {"shape": (1, 4), "out_shape": (1, 2)}),
    "two layers in a row": ([*HEAD, ("Gemm", ["x", W1, B1], GEMM)], {}),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_every_dress_gives_what_onnxruntime_gives(dress: str, tmp_path: Path) -> None:
    nodes, settings_ = DRESSES[dress]
    path = saved(tmp_path, model(*nodes, **settings_))
    count = 1 if settings_.get("shape", "b")[0] == 1 else 50
    observations = GENERATOR.normal(size=(count, 4)).astype(np.float32)
    agree_with_onnxruntime(path, observations)


def test_a_vector_without_batch(tmp_path: Path) -> None:
    nodes = [("MatMul", ["x", W0.T.copy()]), ("Relu", ["x"]), ("MatMul", [W1, "x"])]
    path = saved(tmp_path, model(*nodes, shape=(4,), out_shape=(2,)))
    agree_with_onnxruntime(path, VECTOR)


def test_frames_are_flattened_and_doubles_rounded(tmp_path: Path) -> None:
    path = saved(tmp_path, model(("Flatten", ["x"]), *HEAD, *TAIL, shape=("batch", 2, 2)))
    agree_with_onnxruntime(path, GENERATOR.normal(size=(9, 2, 2)).astype(np.float32))
    w0, b0, w1 = W0.astype(np.float64), B0.astype(np.float64), W1.astype(np.float64)
    nodes = [("Gemm", ["x", w0, b0], GEMM), ("Relu", ["x"]), ("Gemm", ["x", w1], GEMM)]
    path = saved(tmp_path, model(*nodes, kind=TensorProto.DOUBLE))
    agree_with_onnxruntime(path, GENERATOR.normal(size=(9, 4)))


def test_constants_by_node_and_folded(tmp_path: Path) -> None:
    proto = model(("Mul", ["x", "k"]), *HEAD, ("Relu", ["x"]), ("MatMul", ["x", "t"]))
    two = helper.make_node("Constant", [], ["two"], value_float=2.0)
    vector = helper.make_node("Constant", [], ["v"], value=numpy_helper.from_array(VECTOR))
    product = helper.make_node("Mul", ["two", "v"], ["k"])
    matrix = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W1))
    turned = helper.make_node("Transpose", ["w"], ["t"])
    for node in (turned, matrix, product, vector, two):
        proto.graph.node.insert(0, node)
    graph = agree_with_onnxruntime(
        saved(tmp_path, proto), GENERATOR.normal(size=(9, 4)).astype(np.float32)
    )
    assert graph.kept_weights == 36


@pytest.mark.parametrize("linear", [False, True])
def test_sparse_initializers(tmp_path: Path, linear: bool) -> None:
    proto = model(*HEAD, *TAIL)
    weight = np.where(np.abs(W0) > 0.8, W0, 0)
    where = np.flatnonzero(weight) if linear else np.argwhere(weight)
    values = numpy_helper.from_array(weight[weight != 0], "c0")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(where), weight.shape)
    proto.graph.initializer.pop(0)
    proto.graph.sparse_initializer.append(sparse)
    graph = agree_with_onnxruntime(
        saved(tmp_path, proto), GENERATOR.normal(size=(9, 4)).astype(np.float32)
    )
    assert np.array_equal(graph.layers[0].weight, weight)


def test_generic_signals_and_limits_from_the_nodes(tmp_path: Path) -> None:
    nodes = [*HEAD, *TAIL, ("Clip", ["x", np.float32(-1), np.float32(1)])]
    graph = read_onnx(saved(tmp_path, model(*nodes)))
    assert [s.name for s in graph.observation] == ["o0", "o1", "o2", "o3"]
    assert [(s.name, s.low, s.high) for s in graph.action] == [("a0", -1, 1), ("a1", -1, 1)]
    assert (graph.frames, graph.period_s, graph.rig) == (1, 0, None)


def test_nodes_beside_the_policy_are_not_looked_at(tmp_path: Path) -> None:
    proto = model(*HEAD, *TAIL)
    proto.graph.node.append(helper.make_node("Exp", ["v1"], ["value"]))
    proto.graph.output.insert(0, helper.make_tensor_value_info("value", TensorProto.FLOAT, None))
    assert read_onnx(saved(tmp_path, proto)).action_size == 2


def test_what_torch_exports(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Actor(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.std = torch.randn(4), torch.rand(4) + 0.5
            self.network = torch.nn.Sequential(
                torch.nn.Flatten(),
                torch.nn.Linear(4, 8),
                torch.nn.ReLU(),
                torch.nn.Linear(8, 8, bias=False),
                torch.nn.Tanh(),
                torch.nn.Linear(8, 2),
            )

        def forward(self, observation: Any) -> Any:
            normalised = (observation.float() - self.mean) / self.std
            return torch.clamp(torch.tanh(self.network(normalised)) * 2.0 + 0.5, -1, 2)

    path = tmp_path / "torch.onnx"
    axes = {"observation": {0: "batch"}}
    torch.onnx.export(
        Actor(),
        (torch.zeros(1, 4),),
        str(path),
        dynamo=False,
        input_names=["observation"],
        dynamic_axes=axes,
    )
    graph = agree_with_onnxruntime(path, GENERATOR.normal(size=(50, 4)).astype(np.float32))
    assert [(s.scale, s.offset, s.low, s.high) for s in graph.action] == [(2, 0.5, -1, 2)] * 2


# What is refused --------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_onnx(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and len(message) < 600
    return message


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([*HEAD, ("LSTM", ["x"]), TAIL[1]], "node 'LSTM_1' (LSTM) cannot be exported: a recurrent"),
        ([*HEAD, ("Conv", ["x", W1]), TAIL[1]], "(Conv) cannot be exported: a convolution"),
        ([*HEAD, ("Det", ["x"]), TAIL[1]], "(Det) cannot be exported: this operator is not"),
        ([*HEAD, ("Softmax", ["x"], {"axis": 0})], "it goes across the observations of a batch"),
        ([*HEAD, ("Pow", ["x", np.float32(range(6))]), TAIL[1]], "powers of [0.0, 1.0"),
        ([*HEAD, ("Div", ["x", np.float32(0)]), TAIL[1]], "a division is by 0"),
        ([*HEAD, ("Add", ["x", "observation"]), TAIL[1]], "shapes [1, 6] and [1, 4] do not fit"),
        ([*HEAD, ("Expand", ["x", np.int64([3, 6])]), *TAIL], "repeat the observations"),
        ([*HEAD, ("Gather", ["x", np.int64([6])], {"axis": 1})], "an index is outside of 6 values"),
        ([*HEAD, ("Gather", ["x", np.int64([0])])], "takes some of the observations of a batch"),
        ([*HEAD, ("ArgMax", ["x"], {"axis": 0})], "goes across the observations"),
        ([*HEAD, ("Squeeze", ["x", np.int64([0])])], "takes the batch away"),
        ([("Gemm", ["x", W1, B1], GEMM)], "its weights take 6 values but 4 come in"),
        ([("MatMul", [W0, "x"]), *TAIL], "mix the observations"),
        ([("Flatten", ["x"], {"axis": 0}), *HEAD, *TAIL], "axis 0"),
        ([*HEAD, ("Reshape", ["x", np.array([3, -1])]), *TAIL], "mix the observations"),
        ([*HEAD, ("Cast", ["x"], {"to": TensorProto.STRING}), *TAIL], "casts to something else"),
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
    assert "not of type float" in refused(saved(tmp_path, whole))
    assert "opset 5" in refused(saved(tmp_path, model(*HEAD, *TAIL, opset=5)))
    wrong = model(*HEAD, *TAIL, out_shape=("batch", 3))
    assert "declared with 3 values" in refused(saved(tmp_path, wrong))


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
