"""A teacher as ONNX: an MLP with its normaliser folded in, weights only.

For images [height, width, channels] the first layers are convolutions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sparsectl.common.files import atomic_path
from sparsectl.policy.activations.argmax import argmax
from sparsectl.policy.convolution import Convolution
from sparsectl.training.teachers.image_network import as_matrix

Weights = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weight [out, in] and bias [out] of each layer; of a convolution [out, in, rows, columns]. `Form`
has the activations."""


@dataclass(frozen=True)
class Form:
    """The activations of a teacher's layers, and the meaning of its outputs.

    Attributes:
        hidden: Relu or Tanh, between the layers.
        values: `q_values` or `logits` of discrete actions; None: continuous actions, after a tanh.
        convolutions: the geometry of the first layers.
    """

    hidden: str = "Relu"
    values: str | None = None
    convolutions: tuple[Convolution, ...] = ()


HIDDEN: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "Relu": lambda x: np.maximum(x, 0.0),
    "Tanh": np.tanh,
}
ACTORS = Form()


def in_physical_units(weights: Weights, signals: dict[str, Any]) -> Weights:
    """Fold the normaliser x = (observation - offset) / scale into the first layer."""
    rows = signals["observation"] * signals["frames"]
    scale = np.array([row["scale"] for row in rows], np.float64)
    offset = np.array([row["offset"] for row in rows], np.float64)
    weight, bias = weights[0]
    if weight.ndim > 2:  # an image's pixels have one scale and no offset
        return [((weight / scale[0]).astype(np.float32), bias), *weights[1:]]
    folded = weight / scale
    return [
        (folded.astype(np.float32), (bias - folded @ offset).astype(np.float32)),
        *weights[1:],
    ]


def teacher_act(
    weights: Weights, signals: dict[str, Any], form: Form = ACTORS
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return the policy of normalised weights: observations [B, n] to actions [B, m] in physical
    units."""
    layers = in_physical_units(weights, signals)
    scale, offset = _action_map(signals)

    def act(observations: NDArray[np.float32]) -> NDArray[np.float32]:
        x = observations
        for geometry, (weight, bias) in zip(form.convolutions, layers, strict=False):
            sums = geometry.patches(x) @ as_matrix(weight).T + bias
            x = HIDDEN[form.hidden](sums.reshape(len(x), -1))
        for weight, bias in layers[len(form.convolutions) : -1]:
            x = HIDDEN[form.hidden](x @ weight.T + bias)
        weight, bias = layers[-1]
        if form.values is not None:
            return argmax((x @ weight.T + bias).T).T + offset
        action: NDArray[np.float32] = np.tanh(x @ weight.T + bias) * scale + offset
        return action

    return act


def write_teacher(
    path: Path,
    weights: Weights,
    signals: dict[str, Any],
    env_id: str,
    origin: dict[str, Any],
    form: Form = ACTORS,
) -> None:
    """Write an ONNX MLP from observations to actions in the environment's units.

    A teacher with discrete actions has the output `q_values` or `logits` beside `action`, which is
    the index of the choice.

    Args:
        path: the file, which is replaced atomically.
        weights: layers that take normalised observations.
        signals: the environment's signals; their scales go into the first layer.
        env_id: the environment it was trained in.
        origin: its history, for `sparsectl.provenance`.
        form: form of its layers.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[TensorProto] = []
    value = "observation"
    layers = in_physical_units(weights, signals)
    for i, (weight, bias) in enumerate(layers):
        last = i == len(layers) - 1
        constants += [
            numpy_helper.from_array(weight, f"layers.{i}.weight"),
            numpy_helper.from_array(bias, f"layers.{i}.bias"),
        ]
        if i < len(form.convolutions):
            value = _convolve(nodes, constants, value, i, form.convolutions[i], form.hidden)
            continue
        gemm = [value, f"layers.{i}.weight", f"layers.{i}.bias"]
        nodes.append(helper.make_node("Gemm", gemm, [f"sum.{i}"], name=f"layer.{i}", transB=1))
        if last and form.values is not None:
            break
        value = f"value.{i}"
        kind = "Tanh" if last else form.hidden
        nodes.append(helper.make_node(kind, [f"sum.{i}"], [value], name=f"activation.{i}"))
    inputs, outputs = len(signals["observation"] * signals["frames"]), layers[-1][0].shape[0]
    shown = [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", outputs])]
    scale, offset = _action_map(signals)
    if form.values is not None:
        nodes[-1].output[0] = value = form.values
        shown = [
            helper.make_tensor_value_info(form.values, TensorProto.FLOAT, ["batch", outputs]),
            helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", 1]),
        ]
        nodes.append(helper.make_node("ArgMax", [value], ["index"], name="best", axis=1))
        value = "number"
        nodes.append(
            helper.make_node("Cast", ["index"], [value], name="cast", to=TensorProto.FLOAT)
        )
    if np.any(scale != 1.0) or np.any(offset != 0.0):
        constants += [
            numpy_helper.from_array(scale, "action.scale"),
            numpy_helper.from_array(offset, "action.offset"),
        ]
        nodes.append(helper.make_node("Mul", [value, "action.scale"], ["scaled"], name="scale"))
        nodes.append(helper.make_node("Add", ["scaled", "action.offset"], ["shifted"], name="add"))
        value = "shifted"
    nodes[-1].output[0] = "action"
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", inputs])],
        shown,
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    unscaled = [row | {"scale": 1.0, "offset": 0.0} for row in signals["observation"]]
    metadata = {
        "sparsectl.signals": json.dumps(signals | {"observation": unscaled}),
        "sparsectl.environment": env_id,
        "sparsectl.provenance": json.dumps(origin),
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    with atomic_path(path) as temporary:
        onnx.save(model, str(temporary))


def _convolve(
    nodes: list[onnx.NodeProto],
    constants: list[TensorProto],
    value: str,
    layer: int,
    geometry: Convolution,
    hidden: str,
) -> str:
    """Add the nodes of a convolution and its activation, with values ordered pixel by pixel before
    and after; return the name of the result."""

    def add(operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def reshaped(value: str, name: str, shape: list[int]) -> str:
        constants.append(numpy_helper.from_array(np.array(shape, np.int64), f"{name}.shape"))
        return add("Reshape", [value, f"{name}.shape"], name)

    name, height, width = f"layers.{layer}", geometry.height, geometry.width
    image = reshaped(value, f"{name}.image", [-1, height, width, geometry.channels])
    planes = add("Transpose", [image], f"{name}.planes", perm=[0, 3, 1, 2])
    given = [planes, f"{name}.weight", f"{name}.bias"]
    strides = list(geometry.strides)
    sums = add("Conv", given, f"sum.{layer}", kernel_shape=list(geometry.kernel), strides=strides)
    active = add(hidden, [sums], f"activation.{layer}")
    pixels = add("Transpose", [active], f"{name}.pixels", perm=[0, 2, 3, 1])
    channels = next(c.dims[0] for c in constants if c.name == f"{name}.bias")
    return reshaped(pixels, f"{name}.flat", [-1, geometry.count * channels])


def _action_map(signals: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    scale = np.array([row["scale"] for row in signals["action"]], np.float32)
    return scale, np.array([row["offset"] for row in signals["action"]], np.float32)
