"""Clip, Max, Min: limits of the action or, before another layer, an activation."""

from __future__ import annotations

from functools import reduce

import numpy as np

from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.arithmetic import folded
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.symbol import constants


@operator("Clip")
def clip(node: Node) -> Result:
    limits = [-spelling.NO_LIMIT, spelling.NO_LIMIT]
    for index, name in ((1, "min"), (2, "max")):
        if node.opset < 11:
            if name in node.attributes:
                limits[index - 1] = node.number(name, 0.0)
        elif node.input(index) is not None:
            limits[index - 1] = _one(node, index)
    return spelling.clip(node.program, node.numbers_of(), *limits)


def _one(node: Node, index: int) -> float:
    limit = node.constant(index)
    if limit.size != 1:
        node.refuse(f"a limit has {limit.size} numbers, not one")
    return float(limit.reshape(-1)[0])


@operator("Max", "Min")
def limit(node: Node) -> Result:
    """Apply Max or Min to any number of values."""
    if not node.inputs:
        node.refuse("it has no inputs")
    if node.is_constant:
        function = np.maximum if node.operator == "Max" else np.minimum
        arrays = [node.constant(index) for index in range(len(node.inputs))]
        return reduce(lambda a, b: folded(node, a, b, function), arrays)
    greater = node.operator == "Max"
    found = None
    for index, value in enumerate(node.inputs):
        if isinstance(value, np.ndarray):
            if np.isnan(value).any():
                node.refuse("a limit is NaN")
            if (value == (np.inf if greater else -np.inf)).any():
                node.refuse("a limit is infinite on the other side: nothing but it is left")
            given = constants(value)  # an infinite limit is no limit
        else:
            given = node.symbol(index)
        join = spelling.maximum if greater else spelling.minimum
        found = given if found is None else join(node.program, found, given)
    return found
