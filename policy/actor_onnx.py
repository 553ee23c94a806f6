"""Convert the acting network that an RL library saved to ONNX, to be read like any other file.

VecNormalize computes in float64 in the library, and so it does here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from sparsectl.policy.actor_network import ActorNetwork, Lstm
from sparsectl.policy.normalizer import Normalizer

OPSET, IR_VERSION = 20, 9  # the first with Gelu, and the oldest format that has it

OBSERVATION, ACTION = "observation", "action"


class _Nodes:
    """A chain of nodes, each of which takes the result of the one before."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = OBSERVATION

    def constant(self, value: Any) -> str:
        """Add a constant and return its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def then(self, operator: str, *others: str, name: str = "", **attributes: Any) -> str:
        """Add an operator on the last result and others; return the name of its result."""
        result = name or f"v{len(self.nodes)}"
        inputs = [self.last, *others]
        self.nodes.append(helper.make_node(operator, inputs, [result], **attributes))
        self.last = result
        return result

    def clip(self, low: Any, high: Any, name: str = "") -> None:
        """Clip to vectors or numbers of the last result's type; the export's proof refers to the
        nodes by `name`."""
        self.then("Max", self.constant(low), name=name and f"least_{name}")
        self.then("Min", self.constant(high), name=name and f"greatest_{name}")

    def lstm(self, cell: Lstm, index: int) -> tuple[list[Any], list[Any]]:
        """Add a layer of LSTM cells, for one step of the sequence; return its states as inputs and
        as outputs of the graph."""
        places = np.arange(4 * cell.units).reshape(4, cell.units)[[0, 3, 1, 2]].reshape(-1)
        biases = np.concatenate([cell.bias_ih[places], cell.bias_hh[places]])
        arrays = (cell.weight_ih[places], cell.weight_hh[places], biases)
        tensors = [self.constant(array[None]) for array in arrays]
        first, one = self.constant(np.array([0])), self.constant(np.array([0, 1]))
        given, made = ([f"{part}{index}_{end}" for part in "hc"] for end in ("in", "out"))
        self.then("Unsqueeze", first)
        inputs = [self.last, *tensors, "", *given]
        result = f"cells{index}"
        self.nodes.append(
            helper.make_node("LSTM", inputs, [result, *made], result, hidden_size=cell.units)
        )
        self.last = result
        self.then("Squeeze", one)
        shape: list[str | int | None] = [1, "batch", cell.units]
        values = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
            for names in (given, made)
        )
        states, after = values
        return states, after


def _one(operator: str, **attributes: Any) -> Callable[[_Nodes], Any]:
    return lambda nodes: nodes.then(operator, **attributes)


def _silu(nodes: _Nodes) -> None:
    before = nodes.last
    nodes.then("Sigmoid")
    nodes.then("Mul", before)


def _log_sigmoid(nodes: _Nodes) -> None:
    nodes.then("Neg")
    nodes.then("Softplus")
    nodes.then("Neg")


def _tanh_shrink(nodes: _Nodes) -> None:
    before = nodes.last
    after = nodes.then("Tanh")
    nodes.last = before
    nodes.then("Sub", after)


ACTIVATIONS: dict[str, Callable[[_Nodes], Any]] = {
    "elu": _one("Elu"),
    "gelu": _one("Gelu"),
    "hardsigmoid": _one("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hardswish": _one("HardSwish"),
    "hardtanh": lambda nodes: nodes.clip(np.float32(-1), np.float32(1)),
    "identity": lambda nodes: None,
    "leaky_relu": _one("LeakyRelu", alpha=0.01),
    "logsigmoid": _log_sigmoid,
    "mish": _one("Mish"),
    "relu": _one("Relu"),
    "relu6": lambda nodes: nodes.clip(np.float32(0), np.float32(6)),
    "selu": _one("Selu"),
    "sigmoid": _one("Sigmoid"),
    "silu": _silu,
    "softplus": _one("Softplus"),
    "softsign": _one("Softsign"),
    "tanh": _one("Tanh"),
    "tanhshrink": _tanh_shrink,
}
"""Adds the nodes of an activation, by the name that `sb3_file.ACTIVATION_NAMES` gives to torch's
class."""


def as_onnx(actor: ActorNetwork, normalizer: Normalizer | None = None) -> ModelProto:
    """observation [batch, n] → action [batch, m], float32, as `predict(deterministic=True)`; the
    number of the choice, [batch, 1], where it chooses among a few. Of LSTM cells also each layer's
    state: h0_in, c0_in, h1_in, … → h0_out, …, [1, batch, units]."""
    nodes = _Nodes()
    if normalizer is not None:
        nodes.then("Cast", to=TensorProto.DOUBLE)
        nodes.then("Sub", nodes.constant(normalizer.mean))
        nodes.then("Div", nodes.constant(np.sqrt(normalizer.var + normalizer.epsilon)))
        nodes.clip(np.float64(-normalizer.clip), np.float64(normalizer.clip), "observation")
        nodes.then("Cast", to=TensorProto.FLOAT)
    _normalise(nodes, actor)
    states = [nodes.lstm(cell, index) for index, cell in enumerate(actor.lstm)]
    for index, (weight, bias) in enumerate(zip(actor.weights, actor.biases, strict=True)):
        nodes.then("Gemm", nodes.constant(weight), nodes.constant(bias), transB=1)
        if index < len(actor.weights) - 1:
            ACTIVATIONS[actor.activation](nodes)
    if actor.squashed:
        nodes.then("Tanh")
        nodes.then("Mul", nodes.constant(actor.scale))
        nodes.then("Add", nodes.constant(actor.offset))
    within = np.all(actor.offset - actor.scale >= actor.low)
    if actor.choices is not None:
        nodes.then("ArgMax", axis=1, keepdims=1)
        nodes.then("Cast", to=TensorProto.FLOAT)
        if actor.choices.first:
            nodes.then("Add", nodes.constant(np.array([actor.choices.first], np.float32)))
    elif (not actor.squashed or not within) and np.isfinite([actor.low, actor.high]).all():
        nodes.clip(actor.low, actor.high, "action")
    nodes.nodes[-1].output[0] = ACTION
    graph = helper.make_graph(
        nodes.nodes,
        "actor",
        [_value(OBSERVATION, actor.observation_size), *(i for given, _ in states for i in given)],
        [
            _value(ACTION, 1 if actor.choices else actor.weights[-1].shape[0]),
            *(output for _, made in states for output in made),
        ],
        nodes.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _normalise(nodes: _Nodes, actor: ActorNetwork) -> None:
    offset, scale = actor.normaliser
    if offset.any():
        nodes.then("Sub", nodes.constant(offset))
    if (scale != 1).any():
        nodes.then("Div", nodes.constant(scale))


def _value(name: str, size: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
