"""Convolutions in ONNX files: read as one layer with its weights once, or refused with the way
round; whatever is read acts as onnxruntime does on the file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import simplify
from tests.policy.graphs import convolutional_graph, observations
from tests.policy.onnx_file.onnx_files import write_file

node = helper.make_node
Shape = tuple[int, ...]


def run(path: Path, given: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: given})[0]
    return np.asarray(found).reshape(len(given), -1)


def agrees(path: Path, shape: Shape) -> PolicyGraph:
    """The graph, whose actions are those of onnxruntime for images of that shape."""
    graph = read_onnx(path)
    images = np.random.default_rng(0).normal(size=(40, *shape)).astype(np.float32)
    expected, found = run(path, images), graph.forward(images.reshape(len(images), -1))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 3e-6 * np.abs(expected).max()
    return graph


def written(
    path: Path,
    image: Shape,
    kernel: Shape,
    before: list[Any] = (),  # type: ignore[assignment]
    after: list[Any] = (),  # type: ignore[assignment]
    outputs: int = 2,
    bias: bool = True,
    seed: int = 0,
    numbers: dict[str, np.ndarray] | None = None,
    **attributes: Any,
) -> Path:
    """before, Conv of "image" to "sums", after, Flatten of "values", Gemm; the input is "x"."""
    generator = np.random.default_rng(seed)
    nodes = [*before, node("Conv", ["image", "k", "b"][: 2 + bias], ["sums"], **attributes)]
    nodes += [*(after or [node("Relu", ["sums"], ["values"])]), node("Flatten", ["values"], ["v"])]
    constants = {"k": generator.normal(size=kernel), "b": generator.normal(size=kernel[0])}
    constants = {n: v.astype(np.float32) for n, v in constants.items() if n != "b" or bias}
    constants |= numbers or {}
    name = "x" if before else "image"
    write_file(path, nodes, constants, {name: ["n", *image]}, ("v",))
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    shapes = {value.name: value.type.tensor_type.shape for value in inferred.graph.value_info}
    sizes = [d.dim_value for d in shapes.get("values", onnx.TensorShapeProto()).dim][1:]
    width = int(np.prod(sizes)) if sizes and all(sizes) else 1
    constants["w"] = generator.normal(size=(width, outputs)).astype(np.float32)
    nodes.append(node("Gemm", ["v", "w"], ["action"]))
    return write_file(path, nodes, constants, {name: ["n", *image]})


def kernels(graph: PolicyGraph) -> list[Any]:
    return [layer.weight.shape for layer in graph.layers if layer.convolution]


@st.composite
def convs(draw: st.DrawFn) -> tuple[Shape, Shape, dict[str, Any]]:
    """An image's shape, a kernel's, and Conv's attributes."""
    dimensions = draw(st.integers(1, 2))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    own, each = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    pixels = [draw(st.integers(2, 7)) for _ in range(dimensions)]
    kernel = [draw(st.integers(1, 3)) for _ in range(dimensions)]
    attributes: dict[str, Any] = {"group": groups} if groups > 1 else {}
    strides = [draw(st.integers(1, 3)) for _ in range(dimensions)]
    dilations = [draw(st.integers(1, 2)) for _ in range(dimensions)]
    padding = draw(st.sampled_from(["none", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    pads = [0] * (2 * dimensions)
    if padding == "pads":
        pads = attributes["pads"] = [draw(st.integers(0, 2)) for _ in pads]
    elif padding != "none":
        attributes["auto_pad"] = padding
        if padding != "VALID":
            dilations = [1] * dimensions
    if draw(st.booleans()) or strides != [1] * dimensions:
        attributes["strides"] = strides
    if draw(st.booleans()) or dilations != [1] * dimensions:
        attributes["dilations"] = dilations
    if "SAME" not in padding:
        for axis in range(dimensions):
            reach = dilations[axis] * (kernel[axis] - 1) + 1
            assume(reach <= pixels[axis] + pads[axis] + pads[axis + dimensions])
    return (groups * own, *pixels), (groups * each, own, *kernel), attributes


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(convs(), st.booleans(), st.integers(0, 1000))
def test_every_attribute_acts_as_in_onnxruntime(
    tmp_path: Path, conv: tuple[Shape, Shape, dict[str, Any]], bias: bool, seed: int
) -> None:
    image, kernel, attributes = conv
    path = written(tmp_path / "m.onnx", image, kernel, bias=bias, seed=seed, **attributes)
    graph = agrees(path, image)
    places = graph.layers[0].outputs // kernel[0]
    assert bool(kernels(graph)) == (places > 1)  # of one place it is a layer of weights
    graph = simplify(graph)
    write_onnx(graph, tmp_path / "again.onnx")
    assert read_onnx(tmp_path / "again.onnx").digest == graph.digest
    x = observations(graph, 20)
    expected = graph.forward(x)
    assert (
        np.abs(run(tmp_path / "again.onnx", x) - expected).max() <= 3e-6 * np.ptp(expected) + 1e-6
    )


LAST = {"perm": [0, 3, 1, 2]}
TURNED = [node("Transpose", ["x"], ["image"], **LAST)]
FLAT = [
    node("Reshape", ["x", "as_image"], ["rows"]),
    node("Transpose", ["rows"], ["image"], **LAST),
]
SHAPE = {"as_image": np.int64([-1, 6, 5, 3])}
PIXELS = [node("Relu", ["sums"], ["r"]), node("Transpose", ["r"], ["values"], perm=[0, 2, 3, 1])]
NORM = [
    node("BatchNormalization", ["sums", "f", "o", "m", "s"], ["n"]),
    node("Relu", ["n"], ["values"]),
]
NUMBERS = {
    "f": np.float32([0.5, 2, 1, 3]),
    "o": np.float32([1, 0, -1, 0.5]),
    "m": np.float32([0.1, -0.2, 0, 1]),
    "s": np.float32([1, 2, 0.5, 0.3]),
}
SCALED = [node("Div", ["x", "most"], ["s"]), node("Transpose", ["s"], ["image"], **LAST)]
ADDED = [node("Add", ["sums", "more"], ["a"]), node("Tanh", ["a"], ["values"])]


@pytest.mark.parametrize(
    ("image", "options"),
    [
        ((6, 5, 3), {"before": TURNED}),
        ((90,), {"before": FLAT, "numbers": SHAPE}),
        ((6, 5, 3), {"before": TURNED, "after": PIXELS}),
        ((3, 6, 5), {"after": NORM, "numbers": NUMBERS}),
        ((6, 5, 3), {"before": SCALED, "numbers": {"most": np.float32(255)}}),
        ((3, 6, 5), {"after": ADDED, "numbers": {"more": np.ones((4, 1, 1), np.float32)}}),
        ((3, 6, 5), {"after": [node("LeakyRelu", ["sums"], ["values"], alpha=0.2)]}),
        ((3, 6, 5), {"after": [node("Identity", ["sums"], ["values"])]}),
    ],
)
def test_its_weights_stand_once_whatever_is_around_it(
    image: Shape, options: dict[str, Any], tmp_path: Path
) -> None:
    path = written(tmp_path / "m.onnx", image, (4, 3, 3, 2), pads=[1, 0, 1, 1], **options)
    graph = agrees(path, image)
    assert kernels(graph) == [(4, 18)]
    assert np.prod(image) == graph.observation_size
    x = observations(graph)
    assert np.allclose(simplify(graph).forward_exact(x), graph.forward_exact(x), atol=1e-5)


def test_convolutions_after_one_another(tmp_path: Path) -> None:
    more = [
        node("Relu", ["sums"], ["r"]),
        node("Conv", ["r", "k2"], ["second"], strides=[2, 1]),
        node("Elu", ["second"], ["values"]),
    ]
    numbers = {"k2": np.random.default_rng(2).normal(size=(5, 4, 2, 2)).astype(np.float32)}
    path = written(
        tmp_path / "m.onnx", (6, 5, 3), (4, 3, 3, 2), before=TURNED, after=more, numbers=numbers
    )
    assert kernels(agrees(path, (6, 5, 3))) == [(4, 18), (5, 16)]


BESIDE = [
    node("Relu", ["sums"], ["r"]),
    node("Conv", ["r", "k2"], ["second"], pads=[1, 0, 1, 0]),
    node("Add", ["second", "sums"], ["values"]),
]
SECOND = {"k2": np.random.default_rng(2).normal(size=(4, 4, 3, 1)).astype(np.float32)}


def test_what_goes_past_a_convolution_makes_it_a_layer_of_weights(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", (3, 6, 5), (4, 3, 3, 2), after=BESIDE, numbers=SECOND)
    graph = agrees(path, (3, 6, 5))
    assert kernels(graph) == [(4, 18)]  # the first; the second has the first's sums beside it
    assert len(graph.layers) == 4


def test_a_large_one_that_is_passed_by_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", (3, 24, 24), (4, 3, 3, 2), after=BESIDE, numbers=SECOND)
    with pytest.raises(UserError, match="convolution that other values pass by takes weights for"):
        read_onnx(path)


IMAGES = sorted((Path(__file__).parent / "exported" / "images").glob("*.onnx"))


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_minatar_as_torch_writes_it(path: Path) -> None:
    graph = agrees(path, (10, 10, 4))
    assert kernels(graph) == [(2, 36)]
    assert [layer.activation for layer in graph.layers] == ["relu", "relu", "argmax"]


def constant(shape: Shape) -> dict[str, np.ndarray]:
    return {"k": np.ones(shape, np.float32)}


@pytest.mark.parametrize(
    ("image", "attributes", "numbers", "message"),
    [
        ((3, 6, 5), {"pads": [-1, 0, 0, 0]}, {}, r"pads are \[-1, 0, 0, 0\]; give 4 from 0"),
        ((3, 6, 5), {"pads": [10**6] * 4}, {}, "pads are .* give 4 from 0 to 16384"),
        ((3, 6, 5), {"pads": [0, 0]}, {}, r"pads are \[0, 0\]; give 4"),
        ((3, 6, 5), {"strides": [0, 1]}, {}, r"strides are \[0, 1\]"),
        ((3, 6, 5), {"dilations": [1, 9]}, {}, "is larger than its image of 6 x 5"),
        ((3, 6, 5), {"group": 2}, {}, "in 2 groups for 3 channels"),
        ((3, 6, 5), {"auto_pad": "MINE"}, {}, "auto_pad is 'MINE'"),
        ((3, 6, 5), {"kernel_shape": [9, 9]}, {}, r"kernel_shape is \[9, 9\]"),
        ((3, 6, 5), {}, constant((4, 2, 3, 2)), "in 1 groups for 3 channels"),
        ((3, 6, 5), {}, constant((4, 3, 3)), "convolutions of one and two dimensions"),
        ((3, 6, 5), {}, {"b": np.ones(3, np.float32)}, r"biases of the shape \[3\] for 4"),
        ((3, 6, 5, 2), {}, constant((4, 3, 3, 2, 1)), "of one and two dimensions"),
        ((1, 100, 100), {}, constant((4, 1, 1, 1)), "40000 values; give at most 16384"),
        ((1, 100_000, 100_000), {}, constant((4, 1, 1, 1)), "give at most 16384"),
        ((1, 90, 90), {"pads": [45] * 4}, constant((1, 1, 90, 90)), "give at most 4000000"),
        ((1, 64, 64), {}, constant((800, 1, 60, 61)), "would hold .* numbers"),
    ],
)
def test_what_is_not_possible_is_refused_in_bounded_memory(
    image: Shape, attributes: dict[str, Any], numbers: Any, message: str, tmp_path: Path
) -> None:
    constants = constant((4, 3, 3, 2)) | {"b": np.zeros(4, np.float32)} | numbers
    if "b" not in numbers:
        del constants["b"]
    nodes = [
        node("Conv", ["x", *constants], ["sums"], **attributes),
        node("Flatten", ["sums"], ["action"]),
    ]
    path = write_file(tmp_path / "m.onnx", nodes, constants, {"x": ["n", *image]})

    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message) as caught:
            read_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < 150e6
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_kernel_that_comes_from_the_observation_is_refused(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "x"], ["sums"]), node("Flatten", ["sums"], ["action"])]
    path = write_file(tmp_path / "m.onnx", nodes, {}, {"x": ["n", 3, 6, 5]})
    with pytest.raises(UserError, match="input 1 is not a constant"):
        read_onnx(path)


def test_metadata_of_another_convolution_is_not_believed(tmp_path: Path) -> None:
    graph = convolutional_graph(0, sizes=(3, 6, 6))
    write_onnx(graph, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    for entry in model.metadata_props:
        entry.value = entry.value.replace('"channels_first": false', '"channels_first": true')
    onnx.save(model, tmp_path / "turned.onnx")
    found = read_onnx(tmp_path / "turned.onnx")
    x = observations(graph)
    assert np.allclose(found.forward(x), graph.forward(x), atol=1e-6)


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
def test_a_whole_image_is_pooled(operator: str, tmp_path: Path) -> None:
    after = [node("Relu", ["sums"], ["relu"]), node(operator, ["relu"], ["values"])]
    agrees(written(tmp_path / "pooled.onnx", (2, 5, 4), (3, 2, 2, 2), after=after), (2, 5, 4))


def test_pooling_in_windows_is_refused_with_the_way_round(tmp_path: Path) -> None:
    after = [node("MaxPool", ["sums"], ["values"], kernel_shape=[2, 2])]
    path = written(tmp_path / "pooled.onnx", (2, 5, 4), (3, 2, 2, 2), after=after)
    with pytest.raises(UserError, match="GlobalAveragePool, GlobalMaxPool.*take strides in place"):
        read_onnx(path)
