"""Find the places where an ONNX graph compares or saturates; there must be observations on both
sides of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from sparsectl.export.source.cut import read_by
from sparsectl.policy.activations import Float64

MAX_MARGINS = 256
"""Most margins per graph; of more, this many at even distances are used."""

SIZES = ("Shape", "Size")
"""Operators whose results say nothing about the observation's numbers."""

Values = list[Any]


@dataclass(frozen=True)
class Threshold:
    """A comparison: the values that it compares, and the margins that follow from them."""

    name: str
    values: tuple[str, ...]
    margins: Callable[[Values], list[Any]]
    """Differences of the compared values, an array each; observations of both signs are
    required."""
    is_sought: bool = True
    """True if observations on both sides are searched for. This is not done where a result grows
    without bound, nor where two choices have equal values: the policy need not encounter that, and
    where values saturate, their last bits decide which choice is taken."""


def thresholds(model: ModelProto) -> list[Threshold]:
    """Return the thresholds of the graph's nodes, in order; what a node makes of constants alone,
    such as limited weights, has none."""
    found = []
    held = {tensor.name for tensor in model.graph.initializer}
    observed = {value.name for value in model.graph.input} - held
    for node in model.graph.node:
        if node.op_type in SIZES or not observed.intersection(read_by(node)):
            continue
        observed.update(filter(None, node.output))
        name = f"{node.op_type} {(node.name or node.output[0])[:60]!r}"
        maker = MAKERS.get(node.op_type)
        if maker is not None:
            found.append(Threshold(name, *maker(node), is_sought=node.op_type not in CHOICES))
        place = POLES.get(node.op_type)
        if place is not None and node.input[place] in observed:
            found.append(Threshold(name, (node.input[place],), list, is_sought=False))
    return found


Made = tuple[tuple[str, ...], Callable[[Values], list[Any]]]


def _difference(node: NodeProto) -> Made:
    """Return the margins of a Max or Min: the first input less each other one."""
    return tuple(node.input), lambda values: [values[0] - other for other in values[1:]]


def _compared(equal: float) -> Callable[[NodeProto], Made]:
    """Return what makes the margin of a comparison. `equal` is the sign of the margin of equal
    values; ReLU gives 0 wherever its input is not above 0."""

    def made(node: NodeProto) -> Made:
        def margins(values: Values) -> list[Any]:
            difference = np.subtract(*values, dtype=np.float64)
            return [np.where(difference == 0, equal * np.finfo(np.float64).tiny, difference)]

        return tuple(node.input), margins

    return made


def _clip(node: NodeProto) -> Made:
    names = tuple(name for name in node.input if name)
    attributes = [a.f for a in node.attribute if a.name in ("min", "max")]  # before opset 11
    return names, lambda values: [values[0] - each for each in (*values[1:], *attributes)]


def _condition(node: NodeProto) -> Made:
    return (node.input[0],), lambda values: [np.where(values[0], 1.0, -1.0)]


def _at(*defaults: tuple[str | None, float, float, float]) -> Callable[[NodeProto], Made]:
    """Return what makes the margins to fixed kinks of the first input. Each kink is (attribute, its
    default, factor, offset) and lies at factor * attribute + offset."""

    def made(node: NodeProto) -> Made:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kinks = [f * float(given.get(n, d) if n else d) + o for n, d, f, o in defaults]
        return (node.input[0],), lambda values: [values[0] - kink for kink in kinks]

    return made


def _whole(turns: float) -> Callable[[NodeProto], Made]:
    """Return what makes the margin of rounding to whole numbers: a wave that changes its sign at
    each jump. `turns` is the part of the wave from 0 to the first jump; an array of whole numbers
    has no jumps."""

    def made(node: NodeProto) -> Made:
        def margins(values: Values) -> list[Any]:
            if not np.issubdtype(values[0].dtype, np.floating):
                return []
            return [np.sin(np.pi * (values[0] - turns))]

        return (node.input[0],), margins

    return made


def _cast(node: NodeProto) -> Made:
    """Return the margins of a cast to whole numbers, which rounds towards 0, or to a truth value,
    which tells whether the number is not 0."""
    to = next(a.i for a in node.attribute if a.name == "to")
    if np.issubdtype(helper.tensor_dtype_to_np_dtype(to), np.integer):
        return _whole(0.0)(node)
    if to != TensorProto.BOOL:
        return (), lambda _: []
    return (node.input[0],), lambda values: [np.where(values[0] != 0, 1.0, -1.0)]


def _choice(sign: float) -> Callable[[NodeProto], Made]:
    def made(node: NodeProto) -> Made:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        return (node.input[0],), lambda values: [choice_margins(sign * values[0], axis)]

    return made


def choice_margins(values: Any, axis: int = -1) -> Float64:
    """Return each value less the greatest of the others along the axis: above 0 where it is the one
    chosen."""
    array = np.moveaxis(np.asarray(values, np.float64), axis, -1)
    if array.shape[-1] < 2:
        return np.empty((*array.shape[:-1], 0))
    second, first = np.moveaxis(np.partition(array, -2, axis=-1)[..., -2:], -1, 0)
    is_first = np.arange(array.shape[-1]) == np.argmax(array, axis=-1)[..., None]
    others = np.where(is_first, second[..., None], first[..., None])
    return np.moveaxis(array - others, -1, axis)


def _hard_sigmoid(node: NodeProto) -> Made:
    given = {a.name: a.f for a in node.attribute}
    slope, offset = given.get("alpha", 0.2), given.get("beta", 0.5)
    kinks = [-offset / slope, (1 - offset) / slope] if slope else []
    return (node.input[0],), lambda values: [values[0] - kink for kink in kinks]


CHOICES = {"ArgMax": _choice(1.0), "ArgMin": _choice(-1.0)}

MAKERS: dict[str, Callable[[NodeProto], Made]] = {
    "Where": _condition,
    "Clip": _clip,
    **dict.fromkeys(("Max", "Min"), _difference),
    **dict.fromkeys(("Greater", "LessOrEqual", "Equal"), _compared(-1.0)),
    **dict.fromkeys(("Less", "GreaterOrEqual"), _compared(1.0)),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _at((None, 3.0, 1.0, 0.0), (None, -3.0, 1.0, 0.0)),
    "ThresholdedRelu": _at(("alpha", 1.0, 1.0, 0.0)),
    "Shrink": _at(("lambd", 0.5, 1.0, 0.0), ("lambd", 0.5, -1.0, 0.0)),
    "Sign": _at((None, 0.0, 1.0, 0.0)),
    "Abs": _at((None, 0.0, 1.0, 0.0)),
    "Floor": _whole(0.0),
    "Ceil": _whole(0.0),
    "Round": _whole(0.5),
    "Cast": _cast,
    **CHOICES,
}


POLES = {"Div": 1, "Reciprocal": 0}
"""The place of the input that has a pole at 0."""


def flat(margins: list[Any], rows: int) -> Float64:
    """Return [rows, margins]: the elements of each array whose first axis is that of the
    observations; the elements of other arrays are the same in each row."""
    columns = []
    for each in margins:
        array = np.asarray(each, np.float64)
        by_row = array.ndim > 0 and array.shape[0] == rows
        columns.append(
            array.reshape(rows, -1) if by_row else np.tile(array.reshape(1, -1), (rows, 1))
        )
    return np.concatenate([np.empty((rows, 0)), *columns], axis=1)
