"""Find the normaliser at the head of an ONNX graph: what it does to each value before anything
else."""

from __future__ import annotations

from onnx import ModelProto

ELEMENTWISE = ("Sub", "Add", "Mul", "Div", "BatchNormalization", "Scaler")
SHAPE_ONLY = ("Identity", "Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Dropout")


def normalised_value(model: ModelProto, observation: str) -> str | None:
    """Return the name of the normalised observation, which is the result of the longest chain of
    elementwise nodes with constants. None if there is no such node."""
    made = {name for node in model.graph.node for name in node.output}
    readers: dict[str, list[int]] = {}
    for index, node in enumerate(model.graph.node):
        for name in node.input:
            readers.setdefault(name, []).append(index)
    constant = _constants(model, made, observation)
    value, found = observation, None
    while True:
        following = [model.graph.node[i] for i in readers.get(value, [])]
        if len(following) != 1:
            return found
        (node,) = following
        others = [name for name in node.input if name != value]
        elementwise = node.op_type in ELEMENTWISE and list(node.input).count(value) == 1
        if not (elementwise or node.op_type in SHAPE_ONLY) or not set(others) <= constant:
            return found
        if node.op_type == "Div" and node.input[0] != value:
            return found
        value = node.output[0]
        found = value if elementwise else found


def _constants(model: ModelProto, made: set[str], observation: str) -> set[str]:
    """Return the names of values that do not depend on the observation."""
    inputs = {value.name for value in model.graph.input}
    names = {tensor.name for tensor in model.graph.initializer} | {""}
    names |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    varying = (inputs - names) | {observation}
    for node in model.graph.node:
        (varying if varying & set(node.input) else names).update(node.output)
    return names
