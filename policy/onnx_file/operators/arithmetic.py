"""Elementwise arithmetic: normalisers, scaling, skip connections, and the parts of activations."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import FLOAT, WHOLE, Symbol, with_kind
from sparsectl.policy.onnx_file.tensors import Array

Binary = Callable[[Program, Symbol, Symbol], Symbol]

BINARY: dict[str, Binary] = {
    "Add": spelling.add,
    "Sub": spelling.subtract,
    "Mul": spelling.multiply,
    "Div": spelling.divide,
}
_FOLDED: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Mod": np.mod,
}
_UNARY = {
    "Abs": "absolute",
    "Exp": "exponential",
    "Sqrt": "square_root",
    "Reciprocal": "reciprocal",
    "Sin": "sine",
    "Cos": "cosine",
    "Erf": "error_function",
    "Floor": "round_down",
    "Round": "round_half_even",
}


@operator(*BINARY)
def binary(node: Node) -> Result:
    if node.is_constant:
        return folded(node, node.constant(0), node.constant(1), _FOLDED[node.operator])
    first, second = node.numbers_of(0), node.numbers_of(1)
    kinds = {first.kind, second.kind}
    if node.operator == "Div" and kinds == {WHOLE}:
        node.refuse(
            "it divides whole numbers that come from the observation; divide floats, and round then"
        )
    found = BINARY[node.operator](node.program, first, second)
    return with_kind(found, FLOAT if FLOAT in kinds else WHOLE)


def folded(node: Node, first: Array, second: Array, function: Callable[[Any, Any], Any]) -> Array:
    """Compute the operation on two constants."""
    try:
        shape = np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        node.refuse(f"constants of shapes {list(first.shape)} and {list(second.shape)}")
    node.tensors.spend(int(np.prod(shape, dtype=object)), node.label)
    wholes = all(np.issubdtype(each.dtype, np.integer) for each in (first, second))
    if wholes and node.operator in ("Div", "Pow", "Mod"):
        return _folded_wholes(node, first, second)
    with np.errstate(all="ignore"):
        result: Array = np.asarray(function(first, second))
    return result


def _folded_wholes(node: Node, first: Array, second: Array) -> Array:
    """Compute sizes from sizes; a quotient is truncated towards 0."""
    if node.operator == "Pow" or not second.all():
        node.refuse("it takes a power of whole numbers, or divides by 0")
    if node.operator == "Mod":
        return np.asarray((np.fmod if node.whole("fmod", 0) else np.mod)(first, second))
    return np.asarray(np.sign(first) * np.sign(second) * (abs(first) // abs(second)))


@operator("Pow")
def power(node: Node) -> Result:
    if node.is_constant:
        return folded(node, node.constant(0), node.constant(1), _FOLDED["Pow"])
    exponents = np.unique(node.constant(1).astype(np.float64))
    found = None
    if exponents.size == 1:
        found = spelling.power(node.program, node.symbol(), float(exponents[0]))
    if found is None:
        shown = exponents[:5].tolist()
        node.refuse(f"powers of {shown}; 0, 1, 2, 3, 4, 1/2, -1/2, -1 and -2 are possible")
    return found


@operator("Mod")
def remainder(node: Node) -> Result:
    if not node.is_constant:
        node.refuse("a remainder of a value that comes from the observation")
    function = np.fmod if node.whole("fmod", 0) else np.mod
    return folded(node, node.constant(0), node.constant(1), function)


@operator("Sum", "Mean")
def total(node: Node) -> Result:
    values = [node.numbers_of(index) for index in range(len(node.inputs))]
    found = reduce(lambda a, b: spelling.add(node.program, a, b), values)
    return found.scaled(1 / len(values)) if node.operator == "Mean" else found


@operator(*_UNARY)
def unary(node: Node) -> Result:
    return node.program.apply(_UNARY[node.operator], node.numbers_of())


@operator("Log")
def logarithm(node: Node) -> Result:
    return spelling.logarithm(node.program, node.numbers_of())


@operator("Ceil")
def ceiling(node: Node) -> Result:
    return node.program.apply("round_down", node.numbers_of().scaled(-1.0)).scaled(-1.0)


@operator("Neg")
def negate(node: Node) -> Result:
    value = node.input(0)
    if isinstance(value, np.ndarray):
        return -value
    return node.symbol().scaled(-1.0)


@operator("Sign")
def sign(node: Node) -> Result:
    value = node.numbers_of()
    above, below = (node.program.apply("step", value.scaled(each)) for each in (1.0, -1.0))
    return spelling.subtract(node.program, above, below)


@operator("Tan")
def tangent(node: Node) -> Result:
    sine, cosine = (node.program.apply(name, node.numbers_of()) for name in ("sine", "cosine"))
    return node.program.apply("quotient", sine, cosine)


@operator("ai.onnx.ml.Scaler")
def scaler(node: Node) -> Result:
    """(x - offset) * scale: scikit-learn's StandardScaler."""
    value = node.symbol()
    scale, offset = node.numbers("scale", [1.0]), node.numbers("offset", [0.0])
    for name, given in (("scale", scale), ("offset", offset)):
        if len(given) not in (1, value.shape[-1] if value.ndim else 1):
            node.refuse(f"its {name} has {len(given)} numbers for {list(value.shape)} values")
    return value.mapped(None, -np.array(offset)).scaled(np.array(scale))
