"""BatchNormalization, an affine map; LayerNormalization and similar ones, by a vector's own
mean."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.reductions import each_row, rows_of, unfolded
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.symbol import Symbol, constants
from sparsectl.policy.onnx_file.tensors import Array


@operator("BatchNormalization")
def batch_normalization(node: Node) -> Result:
    """(x - mean) / sqrt(variance + epsilon) * factor + bias, at inference: an affine map."""
    if node.whole("training_mode", 0) or node.outputs > 1:
        node.refuse("it is in training mode")
    value = node.symbol()
    if value.ndim < 2:
        node.refuse(f"a value of the shape {list(value.shape)}")
    form = [-1] + [1] * (value.ndim - 2)
    numbers = [node.constant(i).astype(np.float64) for i in range(1, 5)]
    if any(each.shape != (value.shape[1],) for each in numbers):
        node.refuse(f"numbers of the shape {list(numbers[0].shape)} for {value.shape[1]} values")
    factor, bias, mean, variance = (each.reshape(form) for each in numbers)
    with np.errstate(all="ignore"):
        scale = factor / np.sqrt(variance + node.number("epsilon", 1e-5))
    return value.mapped(None, -np.broadcast_to(mean, value.shape)).mapped(
        np.broadcast_to(scale, value.shape), np.broadcast_to(bias, value.shape)
    )


@operator("LayerNormalization")
def layer_normalization(node: Node) -> Result:
    return _normalised(node, node.symbol(), "layer_norm", 1, 2)


@operator("RMSNormalization", "SimplifiedLayerNormalization")
def rms_normalization(node: Node) -> Result:
    return _normalised(node, node.symbol(), "rms_norm", 1, 2)


@operator("com.microsoft.SkipLayerNormalization", "com.microsoft.SkipSimplifiedLayerNormalization")
def skip_layer_normalization(node: Node) -> Result:
    """Normalise x + skip + bias; output 3 is that sum itself."""
    simple = node.operator.endswith("SkipSimplifiedLayerNormalization")
    value = spelling.add(node.program, node.numbers_of(0), node.numbers_of(1))
    last = 3 if simple else 4
    if node.input(last) is not None:
        value = spelling.add(node.program, value, node.numbers_of(last))
    name, bias = ("rms_norm", 9) if simple else ("layer_norm", 3)
    if not node.read & {0, 1, 2}:
        return (None, None, None, value)
    found = _normalised(node, value, name, 2, bias, 1e-12, sums=True)
    return (found, None, None, value)


def _normalised(
    node: Node,
    value: Symbol,
    name: str,
    gain: int,
    bias: int,
    least: float = 1e-5,
    sums: bool = False,
) -> Symbol:
    """Normalise over the dimensions from `axis` on; gain and bias have one number per neuron.
    least: the operator's epsilon, unless its attribute says otherwise; sums: output 3 may be
    used, too."""
    if node.read - ({3} if sums else set()) != {0}:
        node.refuse("its mean or deviation is used")
    start = node.axis(value.ndim, -1)
    axes = node.axes(value, list(range(start, value.ndim)))
    epsilon = node.number("epsilon", least)
    if epsilon < 0:
        node.refuse(f"its epsilon is {epsilon}")
    rows = rows_of(value, axes)
    found = each_row(rows, lambda row: node.program.whole(name, row, (epsilon,)))
    return _affine(node, unfolded(value, found, axes), gain, bias)


def _affine(node: Node, value: Symbol, gain: int, bias: int) -> Symbol:
    return value.mapped(_spread(node, gain, value), _spread(node, bias, value))


def _spread(node: Node, index: int, value: Symbol) -> Array | None:
    if node.input(index) is None:
        return None
    numbers = node.constant(index).astype(np.float64)
    try:
        return np.broadcast_to(numbers, value.shape)
    except ValueError:
        node.refuse(f"numbers of the shape {list(numbers.shape)} for {list(value.shape)} values")


@operator("LpNormalization")
def lp_normalization(node: Node) -> Result:
    """x over the sum of magnitudes (p 1) or the root of the sum of squares (p 2)."""
    value = node.symbol()
    axis = node.axis(value.ndim, -1)
    node.keep_batch(value, axis)
    power = node.whole("p", 2)
    if power not in (1, 2):
        node.refuse(f"its p is {power}; 1 and 2 are possible")
    return over_size(node, value, axis, power)


def over_size(node: Node, value: Symbol, axis: int, power: int) -> Symbol:
    """Return the value over the sum of magnitudes (power 1) or the root of the sum of squares
    (power 2) along an axis; where that is 0, the value itself, which is 0."""
    rows = rows_of(value, (axis,))
    program = node.program
    if power == 1:
        terms = spelling.absolute(program, rows)
    else:
        terms = spelling.multiply(program, rows, rows)
    size = program.total(terms).moved(lambda v: v.reshape(-1, 1))
    size = size if power == 1 else program.apply("square_root", size)
    one = constants(np.ones(size.shape))
    size = spelling.choose(program, program.apply("step", size), size, one)
    return unfolded(value, spelling.divide(program, rows, size), (axis,))


@operator("MeanVarianceNormalization")
def mean_variance_normalization(node: Node) -> Result:
    value = node.symbol()
    axes = node.axes(value, node.wholes(9, "axes") or [0, 2, 3])
    found = each_row(rows_of(value, axes), lambda r: node.program.whole("layer_norm", r, (1e-9,)))
    return unfolded(value, found, axes)
