"""Small files with one recurrent cell, and onnxruntime stepping through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
INPUTS, UNITS, ACTIONS = 3, 4, 2


def cell_model(
    operator: str,
    seed: int = 0,
    *,
    state: str = "given",
    sizes: tuple[Any, Any] = (1, 1),
    units: int = UNITS,
    has_bias: bool = True,
    has_peepholes: bool = False,
    initial: np.ndarray | None = None,
    names: tuple[str, ...] = ("h_in", "h_out", "c_in", "c_out"),
    **attributes: Any,
) -> onnx.ModelProto:
    """observation [sequence, batch, 3] → the cell → Squeeze, Gemm, Tanh → action.

    state: "given" at both ends of the graph, "inside" (none is given), or "constant" (`initial`).
    """
    generator = np.random.default_rng(seed)
    rows = GATES[operator] * units
    arrays = {
        "W": generator.normal(size=(1, rows, INPUTS)),
        "R": generator.normal(size=(1, rows, units)) / np.sqrt(units),
        "B": generator.normal(size=(1, 2 * rows)) * 0.5,
        "P": generator.normal(size=(1, 3 * units)),
        "V": generator.normal(size=(units, ACTIONS)),
    }
    given = ["observation", "W", "R", "B" if has_bias else "", ""]
    made = ["y", names[1]]
    ends = [("h_in", names[0])] + ([("c_in", names[2])] if operator == "LSTM" else [])
    inputs = [helper.make_tensor_value_info("observation", 1, [*sizes, INPUTS])]
    outputs = [helper.make_tensor_value_info("action", 1, None)]
    if state == "given":
        given += [name for _, name in ends]
        inputs += [helper.make_tensor_value_info(n, 1, [1, sizes[1], units]) for _, n in ends]
        made = ["y", names[1], names[3]][: 1 + len(ends)]
        outputs += [helper.make_tensor_value_info(n, 1, [1, sizes[1], units]) for n in made[1:]]
    elif state == "constant":
        arrays["start"] = np.zeros((1, 1, units)) if initial is None else initial
        given += ["start"] * len(ends)
    if has_peepholes:
        given += [""] * (7 - len(given)) + ["P"]
    tensors = [
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in arrays.items()
        if name in (*given, "V")
    ]
    tensors.append(numpy_helper.from_array(np.array([0, 1], np.int64), "axes"))
    nodes = [
        helper.make_node(operator, given, made, "cell", **{"hidden_size": units} | attributes),
        helper.make_node("Squeeze", ["y", "axes"], ["vector"]),
        helper.make_node("MatMul", ["vector", "V"], ["sums"]),
        helper.make_node("Tanh", ["sums"], ["action"]),
    ]
    graph = helper.make_graph(nodes, "cell", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def stepped(model: onnx.ModelProto, observations: np.ndarray, start: np.ndarray) -> np.ndarray:
    """By onnxruntime, the state handed on as the file names it."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    ends = [value.name for value in model.graph.input][1:]
    states = {
        name: part.reshape(1, 1, -1)
        for name, part in zip(ends, np.split(start, max(1, len(ends))), strict=False)
    }
    actions = []
    for observation in observations:
        action, *after = session.run(None, {"observation": observation[None, None]} | states)
        states = dict(zip(ends, after, strict=True))
        actions.append(np.asarray(action).reshape(-1))
    return np.array(actions)
