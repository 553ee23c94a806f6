"""ONNX files with a recurrent cell that is not as it should be: each is exported as onnxruntime
runs it, or refused in one line that names what is wrong, with exit code 2 and nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparsectl import cli
from tests.export.differential.recurrent import run_sanitized
from tests.policy.onnx_file.recurrent_models import ACTIONS, INPUTS, UNITS, cell_model, stepped
from tests.tools import need

Change = Callable[[onnx.ModelProto], None]


def tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Another value for a constant of the file."""

    def apply(model: onnx.ModelProto) -> None:
        for one in model.graph.initializer:
            if one.name == name:
                value = change(numpy_helper.to_array(one).copy())
                one.CopyFrom(numpy_helper.from_array(value, name))

    return apply


def holding(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """With that number as its first."""

    def change(array: np.ndarray) -> np.ndarray:
        array.reshape(-1)[0] = value
        return array

    return change


def without_attribute(name: str) -> Change:
    def apply(model: onnx.ModelProto) -> None:
        kept = [one for one in model.graph.node[0].attribute if one.name != name]
        del model.graph.node[0].attribute[:]
        model.graph.node[0].attribute.extend(kept)

    return apply


def node_input(place: int, name: str) -> Change:
    def apply(model: onnx.ModelProto) -> None:
        names = [*model.graph.node[0].input]
        names += [""] * (place + 1 - len(names))
        names[place] = name
        del model.graph.node[0].input[:]
        model.graph.node[0].input.extend(names)

    return apply


def end(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Change:
    """Another shape or type for an input or output of the graph."""

    def apply(model: onnx.ModelProto) -> None:
        for one in (*model.graph.input, *model.graph.output):
            if one.name == name:
                one.CopyFrom(helper.make_tensor_value_info(name, kind, shape))

    return apply


def lengths(model: onnx.ModelProto) -> None:
    node_input(4, "lengths")(model)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int32), "lengths"))


def without_next_state(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def from_its_own_output(model: onnx.ModelProto) -> None:
    node_input(5, "h_out")(model)


def observed(model: onnx.ModelProto) -> None:
    """The cell begins each tick from the observation."""
    node_input(5, "observation")(model)
    del model.graph.input[1]


CONSTANT = {"state": "constant", "initial": np.zeros((1, 1, UNITS))}
INSIDE = {"state": "inside"}

REFUSED: dict[str, tuple[str, dict[str, Any], Change | None, str]] = {
    "a state input of another size": ("GRU", {}, end("h_in", [1, 1, 3]), "h_in|cell"),
    "a state input of no size": ("GRU", {}, end("h_in", [1, 1, 0]), "h_in|cell"),
    "a state that is not float": ("GRU", {}, end("h_in", [1, 1, 4], TensorProto.INT64), "h_in"),
    "a constant state of another size": (
        *("GRU", CONSTANT, tensor("start", lambda a: np.zeros((1, 1, 3), a.dtype)), "start"),
    ),
    "a constant state of a batch": (
        *("GRU", CONSTANT, tensor("start", lambda a: np.zeros((1, 2, 4), a.dtype)), "start"),
    ),
    "NaN in the state": ("GRU", CONSTANT, tensor("start", holding(np.nan)), "start|state|finite"),
    "infinity in the state": ("LSTM", CONSTANT, tensor("start", holding(np.inf)), "start|finite"),
    "NaN in a weight": ("GRU", {}, tensor("W", holding(np.nan)), "not finite"),
    "NaN in a recurrent weight": ("GRU", {}, tensor("R", holding(np.nan)), "not finite"),
    "infinity in a bias": ("LSTM", {}, tensor("B", holding(np.inf)), "not finite"),
    "bidirectional": ("GRU", {"direction": "bidirectional"}, None, "cell.*direction"),
    "reverse": ("LSTM", {"direction": "reverse"}, None, "cell.*direction"),
    "layout 1": ("GRU", {"layout": 1}, None, "cell.*layout is 1"),
    "clip": ("LSTM", {"clip": 3.0}, None, "cell.*clip"),
    "clip of NaN": ("GRU", {"clip": float("nan")}, None, "cell.*clip"),
    "a gate of another function": (
        *("GRU", {"activations": ["HardSigmoid", "Tanh"]}, None, "cell.*HardSigmoid, Tanh"),
    ),
    "a function for a gate too few": ("LSTM", {"activations": ["Sigmoid", "Tanh"]}, None, "cell"),
    "functions with parameters": (
        *("RNN", {"activations": ["Affine"], "activation_alpha": [2.0]}, None, "activation_alpha"),
    ),
    "an RNN of another function": ("RNN", {"activations": ["Softsign"]}, None, "cell.*Softsign"),
    "one gate for input and forget": ("LSTM", {"input_forget": 1}, None, "cell.*input_forget"),
    "the observation as state": ("GRU", {"units": 3}, observed, "cell.*observation"),
    "no hidden_size": ("GRU", {}, without_attribute("hidden_size"), "cell.*hidden_size"),
    "lengths of sequences": ("GRU", INSIDE, lengths, "cell.*sequence_lens"),
    "a sequence of five": ("GRU", {"sizes": (5, 1)}, None, "observation.*5 steps"),
    "a batch of three": ("GRU", {"sizes": (1, 3)}, None, "observation|cell"),
    "a state that nothing gives anew": ("GRU", {}, without_next_state, "h_in"),
    "a cell that feeds itself": ("GRU", INSIDE, from_its_own_output, "h_out|cell"),
    "hidden_size of others": ("GRU", {"hidden_size": 5}, None, "cell.*shape"),
    "hidden_size 0": ("GRU", {"hidden_size": 0}, None, "cell"),
    "hidden_size below 0": ("LSTM", {"hidden_size": -4}, None, "cell"),
    "hidden_size of a billion": ("GRU", {"hidden_size": 10**9}, None, "cell"),
    "weights of two directions": (
        *("GRU", {}, tensor("W", lambda a: np.concatenate([a, a])), "cell.*shape"),
    ),
    "a bias of another size": ("GRU", {}, tensor("B", lambda a: a[:, :-1]), "cell.*shape"),
    "no recurrent weights": ("GRU", {}, node_input(2, ""), "cell"),
    "weights that nothing makes": ("GRU", {}, node_input(1, "nowhere"), "nowhere"),
}


def exit_code(model: onnx.ModelProto, folder: Path, *more: str) -> int:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    rows = np.random.default_rng(0).normal(size=(600, INPUTS)).astype(np.float32)
    np.savez(folder / "met.npz", observations=rows)
    words = ["export", str(folder / "model.onnx"), "--out", str(folder / "policy")]
    words += ["--calibration", str(folder / "met.npz"), "--observations", "200", "--vectors", "4"]
    return cli.run([*words, *more])


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_its_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator, options, change, words = REFUSED[name]
    model = cell_model(operator, **options)
    if change is not None:
        change(model)
    code = exit_code(model, tmp_path)
    said = capsys.readouterr().err.strip()
    lines = [x for x in said.splitlines() if not x.startswith(("export: ", "sparsectl: warning: "))]
    assert code == 2 and len(lines) == 1, said
    assert lines[0].startswith("sparsectl export: ") and len(lines[0]) < 700
    assert str(tmp_path / "model.onnx") in lines[0] and re.search(words, lines[0]), lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["met.npz", "model.onnx"]


EXPORTED: dict[str, tuple[str, dict[str, Any]]] = {
    "linear_before_reset 0": ("GRU", {"linear_before_reset": 0}),
    "linear_before_reset 1": ("GRU", {"linear_before_reset": 1}),
    "no initial state": ("GRU", {"state": "inside", "sizes": ("sequence", "batch")}),
    "linear_before_reset 2, which is not 0": ("GRU", {"linear_before_reset": 2}),
    "no bias": ("LSTM", {"has_bias": False}),
    "no bias, and peepholes": ("LSTM", {"has_bias": False, "has_peepholes": True}),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_what_is_odd_but_right_acts_as_in_onnxruntime(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("gcc")
    operator, options = EXPORTED[name]
    model = cell_model(operator, **options)
    assert exit_code(model, tmp_path, "--encoding", "csr") == 0, capsys.readouterr().err
    twin = cell_model(operator) if options.get("state") == "inside" else model
    observations = np.random.default_rng(4).normal(size=(40, INPUTS)).astype(np.float32)
    size = UNITS * (2 if operator == "LSTM" else 1)
    expected = stepped(twin, observations, np.zeros(size, np.float32))
    resets = np.arange(40) == 0
    found = run_sanitized(tmp_path / "policy", observations, resets, ACTIONS)
    assert np.abs(found - expected).max() < 1e-5
