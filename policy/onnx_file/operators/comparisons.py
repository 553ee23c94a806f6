"""Comparisons, logic and Where: real piecewise functions; a truth value is 1 or 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.arithmetic import folded
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import TRUTH, Symbol, with_kind

_FOLDED: dict[str, Callable[[Any, Any], Any]] = {
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Equal": np.equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}


def over(program: Program, first: Symbol, second: Symbol) -> Symbol:
    """Return first > second; the sign of a difference is exact in float32."""
    return program.apply("step", spelling.subtract(program, first, second))


def negated(truth: Symbol) -> Symbol:
    return truth.mapped(-1.0, 1.0)


def equal(program: Program, first: Symbol, second: Symbol) -> Symbol:
    difference = spelling.subtract(program, first, second)
    return negated(program.apply("step", spelling.absolute(program, difference)))


_COMPARED: dict[str, Callable[[Program, Symbol, Symbol], Symbol]] = {
    "Greater": over,
    "Less": lambda program, a, b: over(program, b, a),
    "GreaterOrEqual": lambda program, a, b: negated(over(program, b, a)),
    "LessOrEqual": lambda program, a, b: negated(over(program, a, b)),
    "Equal": equal,
    "And": spelling.multiply,
    "Or": spelling.maximum,
    "Xor": lambda program, a, b: negated(equal(program, a, b)),
}


@operator(*_COMPARED)
def compare(node: Node) -> Result:
    if node.is_constant:
        return folded(node, node.constant(0), node.constant(1), _FOLDED[node.operator])
    found = _COMPARED[node.operator](node.program, node.numbers_of(0), node.numbers_of(1))
    return with_kind(found, TRUTH)


@operator("Not")
def invert(node: Node) -> Result:
    value = node.input(0)
    if isinstance(value, np.ndarray):
        return np.logical_not(value)
    return with_kind(negated(node.symbol()), TRUTH)


@operator("Where")
def where(node: Node) -> Result:
    if node.is_constant:
        arrays = [node.constant(index) for index in range(3)]
        try:
            shape = np.broadcast_shapes(*(array.shape for array in arrays))
        except ValueError:
            node.refuse("constants of shapes that do not fit together")
        node.tensors.spend(int(np.prod(shape, dtype=object)), node.label)
        return np.where(*arrays)
    return spelling.choose(node.program, *(node.numbers_of(index) for index in range(3)))
