"""Policies that are no chain: read, written, exported as C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from sparsectl.common.errors import UserError
from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.registry import FIXED, FLOAT, encode
from sparsectl.export.golden import golden_vectors
from sparsectl.export.host_c import run_c
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import simplify
from tests.policy.onnx_file.policy_file import GENERATOR, WIDTH, File, agrees, expected_of
from tests.tools import need


def residual(file: File) -> str:
    hidden = file.relu("observation", 8)
    inner = file.dense(file.relu(hidden, 8, 8), 8, 8)
    return file.dense(file.add("Add", inner, hidden), 2, 8)


def residual_before_activation(file: File) -> str:
    hidden = file.add("Tanh", file.dense("observation", 8))
    return file.dense(file.add("Relu", file.add("Add", file.dense(hidden, 8, 8), hidden)), 2, 8)


def skip_of_the_observation(file: File) -> str:
    hidden = file.relu(file.relu("observation", 8), 8, 8)
    return file.dense(file.add("Concat", hidden, "observation", axis=-1), 2, 8 + WIDTH)


def two_towers(file: File) -> str:
    left, right = file.relu("observation", 5), file.add("Tanh", file.dense("observation", 4))
    return file.dense(file.add("Concat", left, right, axis=1), 3, 9)


def two_heads(file: File) -> str:
    hidden = file.relu("observation", 8)
    steer = file.add("Tanh", file.dense(hidden, 1, 8))
    throttle = file.add("Sigmoid", file.dense(file.relu(hidden, 4, 8), 2, 4))
    return file.add("Concat", steer, throttle, axis=-1)


def dueling(file: File) -> str:
    hidden = file.relu("observation", 8)
    value, advantage = file.dense(hidden, 1, 8), file.dense(hidden, 4, 8)
    mean = file.add("ReduceMean", advantage, file.constant([1], np.int64), keepdims=1)
    return file.add("Add", value, file.add("Sub", advantage, mean))


def dueling_choice(file: File) -> str:
    return file.add("ArgMax", dueling(file), axis=1, keepdims=1)


def multi_discrete(file: File) -> str:
    logits = file.dense(file.relu("observation", 8), 7, 8)
    parts = file.add("Split", logits, file.constant([3, 4], np.int64), outputs=2, axis=1)
    chosen = [file.add("ArgMax", part, axis=1, keepdims=1) for part in parts]
    return file.add("Concat", *chosen, axis=1)


def multi_binary(file: File) -> str:
    chance = file.add("Sigmoid", file.dense(file.relu("observation", 8), 3, 8))
    return file.add("Cast", file.add("Greater", chance, 0.5), to=TensorProto.FLOAT)


def rounded_probabilities(file: File) -> str:
    return file.add("Round", file.add("Sigmoid", file.dense(file.relu("observation", 8), 3, 8)))


def layer_norm(file: File) -> str:
    gain, bias = GENERATOR.normal(size=8), GENERATOR.normal(size=8)
    hidden = file.add("LayerNormalization", file.dense("observation", 8), gain, bias)
    return file.dense(file.add("Tanh", hidden), 2, 8)


def layer_norm_spelled(file: File) -> str:
    x, axes = file.dense("observation", 8), file.constant([-1], np.int64)
    centred = file.add("Sub", x, file.add("ReduceMean", x, axes))
    variance = file.add("ReduceMean", file.add("Pow", centred, 2.0), axes)
    size = file.add("Sqrt", file.add("Add", variance, 1e-5))
    return file.dense(file.add("Div", centred, size), 2, 8)


def rms_norm(file: File) -> str:
    x, axes = file.dense("observation", 8), file.constant([-1], np.int64)
    mean = file.add("ReduceMean", file.add("Pow", x, 2.0), axes)
    size = file.add("Sqrt", file.add("Add", mean, 1e-6))
    return file.dense(file.add("Mul", x, file.add("Reciprocal", size)), 2, 8)


def angles(file: File) -> str:
    sine, cosine = file.add("Sin", "observation"), file.add("Cos", "observation")
    return file.dense(file.relu(file.add("Concat", sine, cosine, axis=1), 8, 2 * WIDTH), 2, 8)


def slope_a_neuron(file: File) -> str:
    hidden = file.add("PRelu", file.dense("observation", 5), [0.1, 0.2, 0.2, -0.5, 1.5])
    return file.dense(hidden, 2, 5)


def other_activations(file: File) -> str:
    hidden = file.add("Mish", file.dense("observation", 8))
    hidden = file.add("HardSwish", file.dense(hidden, 8, 8))
    hidden = file.add("HardSigmoid", file.dense(hidden, 8, 8), alpha=0.3, beta=0.4)
    hidden = file.add("Celu", file.dense(hidden, 8, 8), alpha=0.7)
    return file.dense(file.add("Softsign", file.dense(hidden, 8, 8)), 2, 8)


def flattened_from_the_end(file: File) -> str:
    return file.dense(file.relu(file.add("Flatten", "observation", axis=-1), 8), 2, 8)


def limits_of_three(file: File) -> str:
    hidden = file.dense("observation", 8)
    other = file.dense("observation", 8)
    hidden = file.add("Max", hidden, other, -0.5)
    return file.dense(file.add("Min", hidden, 0.75, other), 2, 8)


def gated(file: File) -> str:
    """A product of two values, as in a gated linear unit."""
    gate = file.add("Sigmoid", file.dense("observation", 8))
    return file.dense(file.add("Mul", gate, file.dense("observation", 8)), 2, 8)


def several_inputs(file: File) -> str:
    file.inputs = {"pose": 3, "velocity": 2, "battery": 1}
    pose = file.add("Sub", "pose", [1.0, 2.0, 3.0])
    whole = file.add("Concat", pose, "velocity", "battery", axis=1)
    return file.dense(file.relu(whole, 8), 2, 8)


def onnxruntime_fused(file: File) -> str:
    names = {"domain": "com.microsoft", "transB": 1}
    weight = [GENERATOR.normal(size=size) * 0.4 for size in ((8, WIDTH), (8, 8))]
    bias = [GENERATOR.normal(size=8) for _ in range(2)]
    hidden = file.add("FusedGemm", "observation", weight[0], bias[0], activation="Relu", **names)
    hidden = file.add(
        "FusedGemm",
        hidden,
        weight[1],
        bias[1],
        activation="LeakyRelu",
        activation_alpha=0.2,
        **names,
    )
    return file.dense(hidden, 2, 8)


def quantised(file: File) -> str:
    """QDQ: weights of int8 with a scale a row, activations of uint8."""

    def both(value: str, scale: float, zero: int) -> str:
        given = [file.constant(scale), file.constant(zero, np.uint8)]
        whole = file.add("QuantizeLinear", value, *given)
        return file.add("DequantizeLinear", whole, *given)

    value, inputs = both("observation", 0.05, 128), WIDTH
    for outputs, zero in ((8, 0), (2, 120)):
        whole = file.constant(GENERATOR.integers(-127, 128, (inputs, outputs)), np.int8)
        scales = file.constant(GENERATOR.uniform(0.005, 0.01, outputs))
        weight = file.add(
            "DequantizeLinear", whole, scales, file.constant(np.zeros(outputs), np.int8), axis=1
        )
        value = file.add("Add", file.add("MatMul", value, weight), GENERATOR.normal(size=outputs))
        value = both(file.add("Relu", value) if zero == 0 else value, 0.04, zero)
        inputs = outputs
    return value


FORMS: list[Callable[[File], str]] = [
    residual,
    residual_before_activation,
    skip_of_the_observation,
    two_towers,
    two_heads,
    dueling,
    dueling_choice,
    multi_discrete,
    multi_binary,
    rounded_probabilities,
    layer_norm,
    layer_norm_spelled,
    rms_norm,
    angles,
    slope_a_neuron,
    other_activations,
    flattened_from_the_end,
    limits_of_three,
    gated,
    several_inputs,
    onnxruntime_fused,
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_form_acts_as_in_onnxruntime_and_comes_back(
    form: Callable[[File], str], tmp_path: Path
) -> None:
    file = File()
    path = file.save(form(file), tmp_path / "form.onnx")
    graph, observations = agrees(path, list(file.inputs.values()))
    policy = simplify(graph)
    assert np.allclose(policy.forward(observations), graph.forward(observations), atol=1e-5)
    write_onnx(policy, tmp_path / "policy.onnx")
    assert read_onnx(tmp_path / "policy.onnx").digest == policy.digest
    again = expected_of(tmp_path / "policy.onnx", observations, [policy.observation_size])
    assert np.allclose(again, policy.forward(observations), atol=1e-5)


@pytest.mark.parametrize(
    "form",
    (skip_of_the_observation, dueling_choice, layer_norm, slope_a_neuron),
    ids=lambda form: form.__name__,
)
def test_every_encoding_of_a_form_gives_its_reference_in_c(
    form: Callable[[File], str], tmp_path: Path
) -> None:
    need("gcc")
    file = File()
    graph = simplify(read_onnx(file.save(form(file), tmp_path / "form.onnx")))
    observations = GENERATOR.normal(size=(200, graph.observation_size)).astype(np.float32)
    observations[0, 0] = np.nan
    for name in (*FLOAT, *FIXED):
        try:
            policy = encode(name, graph, observations[1:])
        except UserError as error:
            assert name in FIXED and "fixed point" in str(error)
            continue
        folder = tmp_path / name
        folder.mkdir()
        golden = golden_vectors(policy, observations[1:4])
        for written, text in c_files(policy, golden, "test").items():
            (folder / written).write_text(text)
        found, expected = (
            run_c(folder, observations, graph.action_size, folder),
            policy.forward(observations),
        )
        known = ~np.isnan(expected)
        assert np.array_equal(np.isnan(found), ~known)
        assert np.array_equal(found[known].view(np.uint32), expected[known].view(np.uint32)), name


def test_quantised_files_round_as_onnxruntime_does(tmp_path: Path) -> None:
    file = File()
    path = file.save(quantised(file), tmp_path / "form.onnx")
    graph = read_onnx(path)
    observations = GENERATOR.normal(size=(500, WIDTH)).astype(np.float32)
    expected = expected_of(path, observations, [WIDTH])
    off = np.abs(graph.forward(observations) - expected)
    assert (off > 1e-5).mean() < 0.01  # a sum at a tie may round the other way
    assert off.max() <= 0.0401


def test_inputs_have_their_names(tmp_path: Path) -> None:
    file = File()
    graph = read_onnx(file.save(several_inputs(file), tmp_path / "form.onnx"))
    assert [signal.name for signal in graph.observation] == [
        *("pose0", "pose1", "pose2", "velocity0", "velocity1", "battery")
    ]
    assert [signal.offset for signal in graph.observation] == [1, 2, 3, 0, 0, 0]


def test_wide_values_past_a_layer_are_refused_before_they_are_made(tmp_path: Path) -> None:
    file = File(observation=4_000)
    small = file.add("ReduceSum", "observation", file.constant([1], np.int64), keepdims=1)
    whole = file.add("Add", file.add("Tanh", small), "observation")
    with pytest.raises(UserError, match="carried past a layer"):
        read_onnx(file.save(whole, tmp_path / "wide.onnx"))


def test_bits_of_a_chain_do_not_depend_on_what_is_carried_beside_it(tmp_path: Path) -> None:
    """A value that is carried past layers comes out as it went in."""
    file = File()
    hidden = file.relu(file.relu("observation", 8), 8, 8)
    path = file.save(file.add("Concat", hidden, "observation", axis=1), tmp_path / "skip.onnx")
    graph = read_onnx(path)
    x = GENERATOR.normal(size=(50, WIDTH)).astype(np.float32)
    assert np.array_equal(graph.forward(x)[:, 8:], x)
    assert replace(graph).digest == graph.digest


@pytest.mark.parametrize("form", [residual, angles, gated], ids=lambda form: form.__name__)
def test_what_onnxruntime_made_of_a_file_is_read(
    form: Callable[[File], str], tmp_path: Path
) -> None:
    """Optimised at the extended level; and with weights of int8, activations quantised as they
    come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    file = File()
    path = file.save(form(file), tmp_path / "form.onnx", opset=17)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert any(
        node.op_type == "FusedGemm" for node in onnx.load(tmp_path / "optimised.onnx").graph.node
    )
    agrees(tmp_path / "optimised.onnx", [WIDTH])
    quantize_dynamic(str(path), str(tmp_path / "small.onnx"), weight_type=QuantType.QInt8)
    graph = read_onnx(tmp_path / "small.onnx")
    observations = GENERATOR.normal(size=(60, WIDTH)).astype(np.float32)
    rows = [expected_of(tmp_path / "small.onnx", row[None], [WIDTH]) for row in observations]
    off = np.abs(graph.forward(observations) - np.concatenate(rows)).max(axis=1)
    assert (off > 1e-5).mean() <= 0.05  # a value at a tie may round the other way


@pytest.mark.parametrize("classes", [(0, 1), (0, 1, 2), (5, 7, 12)])
def test_a_classifier_of_scikit_learn(classes: tuple[int, ...], tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier

    x = GENERATOR.normal(size=(200, 4))
    y = np.array(classes)[np.digitize(x[:, 0], np.linspace(-0.5, 0.5, len(classes) - 1))]
    network = MLPClassifier((16, 8), max_iter=300, solver="lbfgs", random_state=0).fit(x, y)
    kind = skl2onnx.common.data_types.FloatTensorType([None, 4])
    for zipmap in (True, False):
        options = {id(network): {"zipmap": zipmap}}
        model = skl2onnx.convert_sklearn(
            network, initial_types=[("observation", kind)], options=options
        )
        path = tmp_path / "classifier.onnx"
        path.write_bytes(model.SerializeToString())
        given = GENERATOR.normal(size=(300, 4)).astype(np.float32)
        found = read_onnx(path).forward(given)[:, 0]
        assert np.array_equal(found, network.predict(given)) and set(found) == set(classes)
    with pytest.raises(UserError, match="zipmap"):
        path.write_bytes(
            skl2onnx.convert_sklearn(network, initial_types=[("o", kind)]).SerializeToString()
        )
        read_onnx(path, "output_probability")
