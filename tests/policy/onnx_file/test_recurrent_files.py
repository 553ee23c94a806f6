"""RNN, GRU and LSTM of ONNX as policies: every option beside onnxruntime, or a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.policy.onnx_file.reader import graph_of, read_onnx
from sparsectl.policy.onnx_file.ticks import tick_of
from sparsectl.policy.sequences import run_sequence
from tests.policy.onnx_file.chains import saved
from tests.policy.onnx_file.recurrent_models import GATES, INPUTS, UNITS, cell_model, stepped


def inputs_of(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, INPUTS)).astype(np.float32)


@given(
    st.sampled_from(["RNN", "GRU", "LSTM"]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.booleans(),
    st.integers(0, 1),
    st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_it_acts_as_the_file(
    operator: str, seed: int, units: int, has_bias: bool, before: int, has_peepholes: bool
) -> None:
    options = {"linear_before_reset": before} if operator == "GRU" else {}
    peepholes = has_peepholes and operator == "LSTM"
    model = cell_model(
        operator, seed, units=units, has_bias=has_bias, has_peepholes=peepholes, **options
    )
    graph = graph_of(model, Path())
    assert graph.state_size == units * (2 if operator == "LSTM" else 1)
    observations = inputs_of(30, seed)
    expected = stepped(model, observations, np.zeros(graph.state_size, np.float32))
    assert np.abs(graph.run(observations) - expected).max() < 1e-5


@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Sigmoid"])
def test_a_plain_cell_has_the_function_that_it_says(activation: str) -> None:
    model = cell_model("RNN", activations=[activation])
    graph = graph_of(model, Path())
    expected = stepped(model, inputs_of(20), np.zeros(UNITS, np.float32))
    assert np.abs(graph.run(inputs_of(20)) - expected).max() < 1e-5


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("sizes", [(1, 1), (1, "batch"), ("sequence", "batch")])
def test_a_state_inside_is_handed_from_tick_to_tick(
    operator: str, sizes: tuple[Any, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    warn.cache_clear()
    inside = graph_of(cell_model(operator, state="inside", sizes=sizes), Path())
    given_one = graph_of(cell_model(operator), Path())
    assumed = (
        "the state of 'cell' is kept from tick to tick, although the file takes one step a run"
    )
    assert (assumed in capsys.readouterr().err) == (sizes[0] == 1)
    assert inside.state_size == given_one.state_size
    assert np.array_equal(inside.run(inputs_of(25)), given_one.run(inputs_of(25)))


def test_a_constant_initial_state_is_that_after_a_reset() -> None:
    start = np.linspace(-0.5, 0.5, UNITS).reshape(1, 1, UNITS)
    graph = graph_of(cell_model("GRU", state="constant", initial=start), Path())
    assert np.allclose(graph.reset_state, start.reshape(-1))
    expected = stepped(cell_model("GRU"), inputs_of(20), start.reshape(-1).astype(np.float32))
    assert np.abs(graph.run(inputs_of(20)) - expected).max() < 1e-5


@pytest.mark.parametrize("sizes", [(1, 1), (1, "batch")])
def test_the_source_is_a_tick_of_the_files_own_nodes(
    sizes: tuple[Any, Any], tmp_path: Path
) -> None:
    path = saved(tmp_path, cell_model("LSTM", sizes=sizes))
    graph = read_onnx(path)
    source = OnnxSource(path, None, graph.step_graph.sizes)
    start = graph.initial_state()
    for tick in (source.run, source.exact):
        found = run_sequence(tick, start, inputs_of(15), np.arange(15) % 4 == 0).actions
        assert np.abs(found - graph.run(inputs_of(15), np.arange(15) % 4 == 0)).max() < 1e-5
    rows = np.random.default_rng(2).normal(size=(9, graph.step_graph.observation_size))
    assert np.abs(source.run(rows.astype(np.float32)) - source.exact(rows)).max() < 1e-5


@pytest.mark.parametrize(
    ("operator", "options", "words"),
    [
        ("GRU", {"direction": "reverse"}, "'cell' .GRU. cannot be exported: its direction is 'rev"),
        ("LSTM", {"direction": "bidirectional"}, "a controller has no future; export layers that"),
        ("GRU", {"layout": 1}, "its layout is 1"),
        ("LSTM", {"clip": 3.0}, "attribute clip.; leave the clip away"),
        ("LSTM", {"input_forget": 1}, "input_forget"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "are HardSigmoid, Tanh; only Sigmoid,"),
        ("GRU", {"activations": ["Sigmoid"]}, "it has 1 activations, not 2"),
        ("RNN", {"activations": ["Softsign"]}, "its activation is 'Softsign'; train with one of"),
        ("LSTM", {"activation_alpha": [1.0]}, "parameters .activation_alpha."),
        ("GRU", {"hidden_size": 5}, r"shape \[1, 12, 3\], not \[1, 15, 3\]"),
        ("GRU", {"sizes": (5, 1)}, "takes 5 steps of a sequence at once; export it for one step"),
        ("GRU", {"sizes": (1, 3)}, "several observations|of length 1"),
        (
            "GRU",
            {"state": "constant", "initial": np.zeros((1, 1, 3))},
            r"'start' has the shape \[1, 1, 3\] for 4 units",
        ),
        ("GRU", {"state": "constant", "initial": np.full((1, 1, 4), np.nan)}, "finite|NaN"),
    ],
)
def test_what_a_tick_cannot_be_is_refused(
    operator: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, cell_model(operator, **options))
    with pytest.raises(UserError, match=words) as caught:
        read_onnx(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and len(message) < 600


def test_sequence_lengths_are_refused(tmp_path: Path) -> None:
    model = cell_model("GRU", state="inside")
    model.graph.node[0].input[4] = "lengths"
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int32), "lengths"))
    with pytest.raises(UserError, match="given sequence_lens; leave them away"):
        read_onnx(saved(tmp_path, model))


def test_a_state_that_nothing_gives_anew_is_refused(tmp_path: Path) -> None:
    model = cell_model("GRU")
    del model.graph.output[1]
    with pytest.raises(UserError, match="'h_in' is the state of 'y', and no output of its shape"):
        read_onnx(saved(tmp_path, model))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.BOOL])
@pytest.mark.parametrize("name", ["episode_starts", "masks", "not_done", "is_first"])
def test_a_mask_of_a_cell_in_plain_nodes_is_refused_by_its_name(
    name: str, kind: int, tmp_path: Path
) -> None:
    """It was taken for a part of the observation, by which the state is multiplied, or refused for
    its type."""
    model = plain_cell(("h_in", "c_in", "h_out", "c_out"))
    model.graph.input.append(helper.make_tensor_value_info(name, kind, [1, 1]))
    model.graph.node[0].input[0] = "kept"
    for node in (
        helper.make_node("Mul", ["h_in", "number"], ["kept"]),
        helper.make_node("Cast", [name], ["number"], to=TensorProto.FLOAT),
    ):
        model.graph.node.insert(0, node)
    with pytest.raises(UserError, match=f"'{name}' has the name of a mask.*give it another name"):
        read_onnx(saved(tmp_path, model))


def test_a_mask_of_the_state_is_refused_by_its_name(tmp_path: Path) -> None:
    """The flag of a new episode that recurrent policies of training libraries take."""
    model = cell_model("GRU")
    model.graph.input.append(helper.make_tensor_value_info("episode_start", 1, [1, 1, 1]))
    model.graph.node[0].input[5] = "kept"
    model.graph.node.insert(0, helper.make_node("Mul", ["h_in", "episode_start"], ["kept"]))
    with pytest.raises(UserError, match="'episode_start' acts on the state of 'y', as a mask"):
        read_onnx(saved(tmp_path, model))


def test_a_state_of_whole_numbers_is_refused(tmp_path: Path) -> None:
    model = plain_cell(("h_in", "c_in", "h_out", "c_out"))
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(UserError, match="its state 'h_in' is int64; a state is float"):
        read_onnx(saved(tmp_path, model))


def plain_cell(
    names: tuple[str, str, str, str], sizes: tuple[int, int] = (4, 4)
) -> onnx.ModelProto:
    """Two states written as plain nodes: a' = tanh(a), b' = a + b; the action is b."""
    first, second, first_next, second_next = names
    nodes = [
        helper.make_node("Tanh", [first], [first_next]),
        helper.make_node("Add", [first, second], ["sum"]),
        helper.make_node("Add", ["sum", "observation"], [second_next]),
        helper.make_node("Identity", [second_next], ["action"]),
    ]
    shapes = {"observation": 4, first: sizes[0], second: sizes[1]}
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in shapes.items()
    ]
    ends = {"action": 4, first_next: sizes[0], second_next: sizes[1]}
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in ends.items()]
    graph = helper.make_graph(nodes, "plain", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    "names",
    [
        ("h0", "c0", "hn", "cn"),
        ("hx", "cx", "h_out", "c_out"),
        ("state_h", "state_c", "next_state_h", "next_state_c"),
        ("memory_in", "rnn_in", "memory_out", "rnn_out"),
        ("history_in", "recurrent_in", "history_out", "recurrent_out"),
    ],
)
def test_names_say_which_state_is_which(names: tuple[str, ...]) -> None:
    tick = tick_of(plain_cell(names), "action")
    assert tick is not None
    assert [(s.input, s.output) for s in tick.states] == [names[::2], names[1::2]]


@pytest.mark.parametrize(
    "names",
    [
        ("state1", "state2", "x", "y"),
        ("state", "goal", "q", "r"),
        ("state", "goal", "next_state", "r"),
        ("a", "b", "hidden", "value"),
        ("a", "b", "x", "y"),
    ],
)
def test_what_may_be_a_state_is_asked_about(names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="is as large as its input .* if it is a state, give both"):
        graph_of(plain_cell(names), Path())
    assert graph_of(plain_cell(names), Path(), "action").state_size == 0


@pytest.mark.parametrize("shape", [[1, 4, 3], ["batch", 4, 3], [4, 1, 3]])
def test_a_batch_of_states_lies_first_or_in_the_middle(shape: list[Any]) -> None:
    value = helper.make_tensor_value_info
    axis = shape.index(1) if 1 in shape else 0
    tensors = [numpy_helper.from_array(np.eye(3, dtype=np.float32) * 0.5, "w")]
    nodes = [
        helper.make_node("MatMul", ["h_in", "w"], ["held"]),
        helper.make_node("Add", ["held", "observation"], ["h_out"]),
        helper.make_node("ReduceSum", ["h_out"], ["sum"], keepdims=0),
        helper.make_node("Add", ["observation", "sum"], ["action"]),
    ]
    inputs = [value("observation", 1, [1, 3]), value("h_in", 1, shape)]
    outputs = [value("action", 1, [1, 3]), value("h_out", 1, shape)]
    graph = helper.make_graph(nodes, "frames", inputs, outputs, tensors)
    tick = tick_of(helper.make_model(graph), "action")
    assert tick is not None
    assert [(s.axis, s.size) for s in tick.states] == [(axis, 12)]


def test_a_file_without_a_state_has_no_tick() -> None:
    model = plain_cell(("goal", "wind", "value", "log_prob"))
    assert tick_of(model, "action") is None
    assert graph_of(model, Path(), "action").state_size == 0


@pytest.mark.parametrize("operator", GATES)
def test_the_sums_inside_a_cell_round(operator: str, tmp_path: Path) -> None:
    """Far out the terms of a gate are large where its sum is not, and their order shows."""
    path = saved(tmp_path, cell_model(operator))
    step = read_onnx(path).step_graph
    source = OnnxSource(path, None, step.sizes)
    rows = np.random.default_rng(1).normal(size=(80, step.observation_size))
    rows[:, :INPUTS] *= 3e3
    rows[40:, INPUTS:] *= 100
    observations = rows.astype(np.float32)
    exact = source.exact(observations)
    allowed = np.maximum(source.rounding(observations), 1e-6)
    assert allowed.max() > 1e-5
    assert np.all(np.abs(step.forward(observations) - exact) <= allowed)


def handing_on(reads: str) -> onnx.ModelProto:
    """A layer of `reads`, beside two states: the first becomes half of the second, which stays."""
    names = [("obs", "state_ins", "memory_in"), ("action", "state_outs", "memory_out")]
    inputs, outputs = (
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
            for name, size in zip(each, (3, 1, 1), strict=True)
        ]
        for each in names
    )
    nodes = [
        helper.make_node("Add", ["obs", reads], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["action"]),
        helper.make_node("Mul", ["memory_in", "half"], ["state_outs"]),
        helper.make_node("Identity", ["memory_in"], ["memory_out"]),
    ]
    half = numpy_helper.from_array(np.float32([0.5]), "half")
    graph = helper.make_graph(nodes, "policy", inputs, outputs, [half])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(("reads", "kept"), [("obs", 0), ("memory_in", 1), ("state_ins", 2)])
def test_a_state_that_no_action_depends_on_is_none(reads: str, kept: int) -> None:
    """Godot RL Agents writes one that is only handed on."""
    graph = graph_of(handing_on(reads), Path())
    assert graph.state_size == kept and graph.observation_size == 3
