"""Weights: Gemm, MatMul, BatchNormalization."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparsectl.export.onnx_curve import Curve
from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_operators.registry import Result, operator
from sparsectl.export.onnx_stream import (
    COLUMNS,
    ROWS,
    VECTOR,
    Stream,
    along,
    append_layer,
    apply_affine,
    spread,
)
from sparsectl.export.onnx_tensors import Array


@operator("Gemm")
def gemm(node: Node) -> Result:
    """Y = alpha A' B' + beta C; the observation may be A (rows) or B (columns)."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    transposed = [bool(node.whole(name, 0)) for name in ("transA", "transB")]
    side = 0 if isinstance(node.input(0), (Stream, Curve)) else 1
    stream, other = node.stream(side), _matrix(node, node.constant(1 - side))
    other = other.T if transposed[1 - side] else other
    wanted = (COLUMNS if transposed[0] else ROWS, ROWS if transposed[1] else COLUMNS)[side]
    if stream.layout != wanted:
        node.refuse("it would mix the observations of a batch")
    stream = replace(stream, layout=(ROWS, COLUMNS)[side])
    weight = other.T if side == 0 else other
    if alpha != 1:
        weight = weight.astype(np.float64) * alpha
    bias = None if node.input(2) is None else _gemm_bias(node, stream, weight.shape[0], beta)
    return append_layer(stream, weight, bias, node.tensors.spend)


def _gemm_bias(node: Node, stream: Stream, outputs: int, beta: float) -> Array:
    results = replace(stream, width=outputs, picked=None)
    return spread(along(results, node.constant(2)) * beta, outputs)


@operator("MatMul")
def matmul(node: Node) -> Result:
    """Without a bias: an Add after it becomes that."""
    if isinstance(node.input(0), (Stream, Curve)):
        stream, weight = node.stream(0), _matrix(node, node.constant(1)).T
        fits = stream.layout in (ROWS, VECTOR)
    else:
        stream, weight = node.stream(1), _matrix(node, node.constant(0))
        fits = stream.layout in (COLUMNS, VECTOR)
    if not fits:
        node.refuse("it would mix the observations of a batch")
    return append_layer(stream, weight, None, node.tensors.spend)


def _matrix(node: Node, constant: Array) -> Array:
    if constant.ndim != 2:
        node.refuse(f"its weights have the shape {list(constant.shape)}, not two dimensions")
    return constant


@operator("BatchNormalization")
def batch_normalization(node: Node) -> Result:
    """(x - mean) / sqrt(variance + epsilon) * factor + bias, at inference: an affine map."""
    if node.whole("training_mode", 0):
        node.refuse("it is in training mode")
    stream = node.stream()
    factor, bias, mean, variance = (along(stream, node.constant(i)) for i in range(1, 5))
    with np.errstate(all="ignore"):
        scale = factor / np.sqrt(variance + node.number("epsilon", 1e-5))
    return apply_affine(stream, scale, bias - mean * scale)
