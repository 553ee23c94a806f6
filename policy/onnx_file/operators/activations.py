"""Activations that are a single operator."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations import ACTIVATIONS
from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import Symbol, constants

_PLAIN = ("Relu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus")
_NAMES = {ACTIVATIONS[name].onnx_operator: name for name in ACTIVATIONS}


@operator(*_PLAIN)
def plain(node: Node) -> Result:
    """Read an activation whose attributes are its parameters."""
    activation = ACTIVATIONS[_NAMES[node.operator]]
    parameters = tuple(node.number(name, default) for name, default in activation.parameters)
    return node.program.apply(activation.name, node.numbers_of(), parameters=parameters)


@operator("LeakyRelu")
def leaky_relu(node: Node) -> Result:
    return spelling.leaky_relu(node.program, node.numbers_of(), node.number("alpha", 0.01))


@operator("PRelu")
def parametric_relu(node: Node) -> Result:
    """LeakyRelu with a learnt slope, one for all neurons or one each."""
    value, slope = node.symbol(), node.constant(1).astype(np.float64)
    try:
        slopes = np.broadcast_to(slope, value.shape)
    except ValueError:
        node.refuse(f"slopes of the shape {list(slope.shape)} for {list(value.shape)} values")
    return spelling.leaky_relu(node.program, value, slopes)


@operator("Gelu", "com.microsoft.Gelu")
def gelu(node: Node) -> Result:
    names = {"none": "gelu", "tanh": "gelu_tanh"}
    form = node.text("approximate", "none")
    if form not in names:
        node.refuse("its form is neither none nor tanh")
    return node.program.apply(names[form], node.numbers_of())


@operator("com.microsoft.FastGelu", "com.microsoft.BiasGelu")
def biased_gelu(node: Node) -> Result:
    """gelu(x + bias), by tanh if it is fast."""
    value = node.numbers_of()
    if node.input(1) is not None:
        value = spelling.add(node.program, value, node.numbers_of(1))
    name = "gelu_tanh" if node.operator.endswith("FastGelu") else "gelu"
    return node.program.apply(name, value)


@operator("Swish", "com.microsoft.QuickGelu")
def swish(node: Node) -> Result:
    """x sigmoid(alpha x)."""
    alpha = node.number("alpha", 1.702 if node.operator.endswith("QuickGelu") else 1.0)
    if alpha == 0:
        return node.numbers_of().scaled(0.5)
    return node.program.apply("silu", node.numbers_of().scaled(alpha)).scaled(1 / alpha)


@operator("Mish")
def mish(node: Node) -> Result:
    return node.program.apply("mish", node.numbers_of())


@operator("HardSwish")
def hard_swish(node: Node) -> Result:
    return node.program.apply("hard_swish", node.numbers_of())


@operator("HardSigmoid")
def hard_sigmoid(node: Node) -> Result:
    value = node.numbers_of().mapped(node.number("alpha", 0.2), node.number("beta", 0.5))
    return spelling.clip(node.program, value, 0.0, 1.0)


@operator("Celu")
def celu(node: Node) -> Result:
    """alpha elu(x / alpha)."""
    alpha = node.number("alpha", 1.0)
    if alpha <= 0:
        node.refuse(f"its alpha is {alpha}; one over 0 is possible")
    value = node.numbers_of().scaled(1 / alpha)
    return node.program.apply("elu", value, parameters=(1.0,)).scaled(alpha)


@operator("Softsign")
def softsign(node: Node) -> Result:
    return spelling.softsign(node.program, node.numbers_of())


@operator("ThresholdedRelu")
def thresholded_relu(node: Node) -> Result:
    value = node.numbers_of()
    return _beyond(node.program, value, node.number("alpha", 1.0), value)


@operator("Shrink")
def shrink(node: Node) -> Result:
    """x + bias under -lambd, x - bias over lambd, 0 between."""
    value, bias, limit = node.numbers_of(), node.number("bias", 0.0), node.number("lambd", 0.5)
    above = _beyond(node.program, value, limit, value.mapped(None, -bias))
    negative = value.scaled(-1.0)
    below = _beyond(node.program, negative, limit, negative.mapped(None, -bias))
    return spelling.subtract(node.program, above, below)


def _beyond(program: Program, value: Symbol, limit: float, result: Symbol) -> Symbol:
    """Return `result` where value > limit, else 0."""
    reached = program.apply("step", value.mapped(None, -limit))
    return spelling.choose(program, reached, result, constants(np.zeros(value.shape)))
