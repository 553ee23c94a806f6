"""Clip, Max, Min: limits of the action or, before another layer, an activation."""

from __future__ import annotations

import numpy as np

from sparsectl.export.activations import Float64
from sparsectl.export.onnx_curve import Curve
from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators.registry import Result, operator
from sparsectl.export.onnx_stream import Stream, along, apply_limits


@operator("Clip")
def clip(node: Node) -> Result:
    stream = node.stream()
    limits: list[Float64 | None] = []
    for index, name in ((1, "min"), (2, "max")):
        if node.opset < 11:
            given = name in node.attributes
            limits.append(np.array([node.number(name, 0.0)]) if given else None)
        else:
            given = node.input(index) is not None
            limits.append(along(stream, node.constant(index)) if given else None)
    return apply_limits(stream, *limits)


@operator("Max", "Min")
def limit(node: Node) -> Result:
    if len(node.inputs) != 2:
        node.refuse(f"it has {len(node.inputs)} inputs; two are possible")
    side = 0 if isinstance(node.input(0), (Stream, Curve)) else 1
    stream = node.stream(side)
    bound = along(stream, node.constant(1 - side))
    low, high = (bound, None) if node.operator == "Max" else (None, bound)
    return apply_limits(stream, low, high)
