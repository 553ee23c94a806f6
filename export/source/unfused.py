"""What onnxruntime joins into one node when it saves an optimised model, and scikit-learn's linear
models, as ONNX's own nodes: each of them rounds, and may compare, at a place that the joined one
hides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Apart = Callable[["_Parts", NodeProto], None]


class _Parts:
    """The nodes and numbers that take the place of one node."""

    def __init__(self, node: NodeProto, opset: int) -> None:
        self.opset = opset
        self.given = [*node.input, "", "", "", ""]
        self.attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self._outputs = node.output
        self._stem = next(filter(None, node.output))

    def make(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{self._stem}/{len(self.nodes)}"
        made = helper.make_node(operator, list(inputs), [name], name, **attributes)
        self.nodes.append(made)
        return name

    def end(self, value: str, output: int) -> None:
        """Give a value the name of one of the node's outputs, if that is used."""
        if output < len(self._outputs) and self._outputs[output]:
            name = self._outputs[output]
            self.nodes.append(helper.make_node("Identity", [value], [name], name))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def constant(self, values: np.ndarray) -> str:
        name = f"{self._stem}/number {len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(values, name))
        return name

    def activated(self, value: str, numbers: list[float]) -> str:
        """Apply the activation that the node names, with its numbers."""
        name = self.attributes.get("activation", b"").decode()
        if name == "Clip":
            return self.make(name, value, *map(self.number, numbers[:2]))
        names = {"LeakyRelu": ["alpha"], "Elu": ["alpha"], "HardSigmoid": ["alpha", "beta"]}
        given = dict(zip(names.get(name, []), numbers, strict=False))
        return self.make(name, value, **given) if name else value


def _gemm(parts: _Parts, node: NodeProto) -> None:
    own = {n: v for n, v in parts.attributes.items() if not n.startswith("activation")}
    sums = parts.make("Gemm", *node.input, **own)
    names = ("activation_alpha", "activation_beta")
    parts.activated(sums, [parts.attributes[n] for n in names if n in parts.attributes])


def _conv(parts: _Parts, node: NodeProto) -> None:
    own = {n: v for n, v in parts.attributes.items() if not n.startswith("activation")}
    sums = parts.make("Conv", *node.input[:3], **own)
    if parts.given[3]:
        sums = parts.make("Add", sums, parts.given[3])
    parts.activated(sums, list(parts.attributes.get("activation_params", [])))


def _gelu(parts: _Parts, node: NodeProto) -> None:
    value = _biased(parts)
    power = parts.make("Erf", parts.make("Mul", value, parts.number(math.sqrt(0.5))))
    _halved(parts, value, power)


def _fast_gelu(parts: _Parts, node: NodeProto) -> None:
    value = _biased(parts)
    cube = parts.make("Mul", parts.make("Mul", value, value), value)
    inner = parts.make("Add", value, parts.make("Mul", cube, parts.number(0.044715)))
    scaled = parts.make("Mul", inner, parts.number(math.sqrt(2 / math.pi)))
    _halved(parts, value, parts.make("Tanh", scaled))


def _biased(parts: _Parts) -> str:
    value, bias = parts.given[:2]
    return parts.make("Add", value, bias) if bias else value


def _halved(parts: _Parts, value: str, other: str) -> None:
    """value / 2 * (1 + other)."""
    one = parts.make("Add", other, parts.number(1.0))
    parts.make("Mul", parts.make("Mul", value, parts.number(0.5)), one)


def _quick_gelu(parts: _Parts, node: NodeProto) -> None:
    value = parts.given[0]
    alpha = parts.number(parts.attributes.get("alpha", 1.702))
    parts.make("Mul", value, parts.make("Sigmoid", parts.make("Mul", value, alpha)))


def _skip_normalization(parts: _Parts, node: NodeProto) -> None:
    value, skip, gain, shift, bias = parts.given[:5]
    total = _skipped(parts, value, skip, bias)
    epsilon = parts.attributes.get("epsilon", SKIP_EPSILON)
    parts.make("LayerNormalization", total, gain, shift, epsilon=epsilon)


def _skip_rms(parts: _Parts, node: NodeProto) -> None:
    value, skip, gain, bias = parts.given[:4]
    _over_root_of_mean(parts, _skipped(parts, value, skip, bias), gain, SKIP_EPSILON)


def _skipped(parts: _Parts, value: str, skip: str, bias: str) -> str:
    total = parts.make("Add", value, skip)
    total = parts.make("Add", total, bias) if bias else total
    parts.end(total, 3)
    return total


def _rms(parts: _Parts, node: NodeProto) -> None:
    _over_root_of_mean(parts, parts.given[0], parts.given[1], 1e-5)


def _over_root_of_mean(parts: _Parts, value: str, gain: str, least: float) -> None:
    """value / sqrt(mean(value squared) + epsilon) * gain, the mean over the last dimension."""
    squares = parts.make("Mul", value, value)
    if parts.opset < AXES_AS_INPUT:
        mean = parts.make("ReduceMean", squares, axes=[-1])
    else:
        mean = parts.make("ReduceMean", squares, parts.constant(np.array([-1])))
    moved = parts.make("Add", mean, parts.number(parts.attributes.get("epsilon", least)))
    parts.make("Mul", parts.make("Div", value, parts.make("Sqrt", moved)), gain)


def _linear_regressor(parts: _Parts, node: NodeProto) -> None:
    _sums(parts, int(parts.attributes.get("targets", 1)))


def _linear_classifier(parts: _Parts, node: NodeProto) -> None:
    """The scores, and as the label the index of the greatest."""
    scores = _sums(parts, len(parts.attributes["classlabels_ints"]))
    made = {"SOFTMAX": "Softmax", "LOGISTIC": "Sigmoid"}
    operator = made.get(parts.attributes.get("post_transform", b"").decode())
    label = parts.make("ArgMax", scores, axis=1, keepdims=0)
    if operator is not None:
        scores = parts.make(operator, scores, **({"axis": 1} if operator == "Softmax" else {}))
    parts.end(scores, 1)
    parts.end(label, 0)


def _sums(parts: _Parts, count: int) -> str:
    weight = np.array(parts.attributes["coefficients"], np.float32).reshape(count, -1)
    sums = parts.make("MatMul", parts.given[0], parts.constant(weight.T.copy()))
    bias = parts.attributes.get("intercepts")
    return parts.make("Add", sums, parts.constant(np.array(bias, np.float32))) if bias else sums


SKIP_EPSILON = 1e-12
"""Of a normalisation that is joined with a skip connection, where the node gives none."""
OWN_OPSET = 13
"""The opset of the nodes that are put into a file which has none of ONNX's own."""
AXES_AS_INPUT = 18
"""The opset from which on ReduceMean takes its axes as an input."""

APART: dict[str, Apart] = {
    "com.microsoft.FusedGemm": _gemm,
    "com.microsoft.FusedConv": _conv,
    "com.microsoft.Gelu": _gelu,
    "com.microsoft.BiasGelu": _gelu,
    "com.microsoft.FastGelu": _fast_gelu,
    "com.microsoft.QuickGelu": _quick_gelu,
    "com.microsoft.SkipLayerNormalization": _skip_normalization,
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_rms,
    "SimplifiedLayerNormalization": _rms,
    "ai.onnx.ml.LinearRegressor": _linear_regressor,
    "ai.onnx.ml.LinearClassifier": _linear_classifier,
}
"""The operators that are taken apart, with their domain."""


def unfused(model: ModelProto) -> ModelProto:
    """Return the model with ONNX's own nodes in the place of those in APART; the value that such a
    node makes keeps its name."""
    if not any(map(_is_fused, model.graph.node)):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    if not any(each.domain == "" for each in copy.opset_import):
        copy.opset_import.append(helper.make_opsetid("", OWN_OPSET))
    nodes = list(_taken_apart(copy))
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def _is_fused(node: NodeProto) -> bool:
    return _operator(node) in APART


def _operator(node: NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)


def _taken_apart(model: ModelProto) -> Iterator[NodeProto]:
    opset = max((each.version for each in model.opset_import if not each.domain), default=1)
    for node in model.graph.node:
        if not _is_fused(node):
            yield node
            continue
        parts = _Parts(node, opset)
        APART[_operator(node)](parts, node)
        if node.output[0]:
            parts.nodes[-1].output[0] = node.output[0]
        model.graph.initializer.extend(parts.tensors)
        yield from parts.nodes
