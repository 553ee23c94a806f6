"""Activations that are one operator."""

from __future__ import annotations

import numpy as np

from sparsectl.export.activations import ACTIVATIONS
from sparsectl.export.onnx_curve import curve_of, through
from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators.registry import OPERATORS, Result, operator
from sparsectl.export.onnx_stream import Stream, activate

_PLAIN = ("Relu", "LeakyRelu", "Elu", "Selu")
_NAMES = {ACTIVATIONS[name].onnx_operator: name for name in ACTIVATIONS}


@operator(*_PLAIN)
def plain(node: Node) -> Result:
    """The attributes are the parameters."""
    activation = ACTIVATIONS[_NAMES[node.operator]]
    parameters = tuple(node.number(name, default) for name, default in activation.parameters)
    return activate(node.stream(), activation.name, parameters, node.tensors.spend)


@operator("PRelu")
def parametric_relu(node: Node) -> Result:
    """LeakyRelu with a learnt slope, one for all neurons."""
    slope = np.unique(node.constant(1))
    if slope.size != 1:
        node.refuse("its slopes differ from neuron to neuron")
    return activate(node.stream(), "leaky_relu", (float(slope[0]),), node.tensors.spend)


@operator("Gelu")
def gelu(node: Node) -> Result:
    form = node.attributes.get("approximate", b"none")
    names = {b"none": "gelu", b"tanh": "gelu_tanh"}
    if not isinstance(form, bytes) or form not in names:
        node.refuse("its form is neither none nor tanh")
    return activate(node.stream(), names[form], (), node.tensors.spend)


@operator("Swish", "com.microsoft.QuickGelu")
def swish(node: Node) -> Result:
    """x sigmoid(alpha x)."""
    default = 1.702 if node.operator.endswith("QuickGelu") else 1.0
    alpha = node.number("alpha", default)
    value = node.input(0)
    curve = curve_of(node.stream() if not isinstance(value, Stream) else value, node.title)
    return through(curve, lambda x: x / (1 + np.exp(-alpha * x)), (alpha, 0.0))


@operator("Tanh")
def tanh(node: Node) -> Result:
    """Of a stream an activation; of a curve another curve (gelu's tanh form)."""
    value = node.input(0)
    if isinstance(value, Stream):
        return activate(value, "tanh", (), node.tensors.spend)
    return OPERATORS["Sigmoid"](node)
