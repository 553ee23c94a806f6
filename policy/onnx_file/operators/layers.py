"""Layers of weights: Gemm and MatMul, plain and as onnxruntime fuses them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import Symbol, constants, joined
from sparsectl.policy.onnx_file.tensors import Array

MOST_PRODUCTS = 65_536
"""Most products in one matrix product of two values that both depend on the observation."""


@operator("Gemm")
def gemm(node: Node) -> Result:
    """Y = alpha A' B' + beta C; the observation may be A (rows) or B (columns)."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    first, second = (
        _turned(node, index, bool(node.whole(name, 0)))
        for index, name in ((0, "transA"), (1, "transB"))
    )
    if first.ndim != 2 or second.ndim != 2:
        node.refuse(f"matrices of the shapes {list(first.shape)} and {list(second.shape)}")
    bias = node.input(2)
    if isinstance(bias, np.ndarray) and beta != 1:
        bias = bias.astype(np.float64) * beta
    elif isinstance(bias, Symbol):
        bias = bias.scaled(beta)
    return product(node, first, second, alpha, bias)


@operator("MatMul", "com.microsoft.FusedMatMul")
def matmul(node: Node) -> Result:
    """Add a layer without a bias; an Add after it becomes the bias."""
    if node.whole("transBatchA", 0) or node.whole("transBatchB", 0):
        node.refuse("it transposes a batch")
    first, second = (
        _turned(node, index, bool(node.whole(name, 0)))
        for index, name in ((0, "transA"), (1, "transB"))
    )
    return product(node, first, second, node.number("alpha", 1.0), None)


def _turned(node: Node, index: int, transposed: bool) -> Symbol | Array:
    value = node.input(index)
    if value is None:
        node.refuse(f"its input {index} is missing")
    if not transposed or value.ndim < 2:
        return value
    if isinstance(value, np.ndarray):
        return np.swapaxes(value, -1, -2)
    batch = value.batch
    if batch is not None and batch >= value.ndim - 2:
        batch = 2 * value.ndim - 3 - batch
    return value.moved(lambda v: np.swapaxes(v, -1, -2), batch)


def product(
    node: Node,
    first: Symbol | Array,
    second: Symbol | Array,
    alpha: float,
    bias: Symbol | Array | None,
) -> Symbol | Array:
    """Return alpha first @ second + bias, with numpy's matrix product."""
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return _folded(node, first, second, alpha, bias)
    if bias is None and _is_stacked(first, second):
        return _stacked(node, first, second, alpha)
    if isinstance(first, Symbol) and isinstance(second, Symbol):
        found = _of_symbols(node, first, second).scaled(alpha)
    elif isinstance(first, Symbol) and isinstance(second, np.ndarray):
        return _layer(node, first, _matrix(node, second).T, alpha, bias, 1)
    elif isinstance(second, Symbol) and isinstance(first, np.ndarray):
        vector = second.ndim == 1
        batch = None if second.batch is None else 2 * second.ndim - 3 - second.batch
        if second.ndim > 2:
            node.refuse(f"its second matrix has the shape {list(second.shape)}")
        turned = second if vector else second.moved(lambda v: v.T, batch)
        wide = bias if vector or bias is None else _transposed(bias)
        found = _layer(node, turned, _matrix(node, first), alpha, wide, 0)
        back = None if vector or found.batch is None else 1 - found.batch
        return found if vector else found.moved(lambda v: v.T, back)
    else:
        node.refuse("one of its inputs is missing")
    if bias is None:
        return found
    added = bias if isinstance(bias, Symbol) else constants(bias)
    return spelling.add(node.program, found, added)


def _is_stacked(first: Symbol | Array, second: Symbol | Array) -> bool:
    """Return whether there are several matrices, which are multiplied pair by pair. Rows of the
    first one that all meet one matrix of weights are not."""
    if first.ndim < 2 or second.ndim < 2:
        return False
    several = math.prod(second.shape[:-2]) > 1
    return several or (isinstance(second, Symbol) and max(first.ndim, second.ndim) > 2)


def _stacked(
    node: Node, first: Symbol | Array, second: Symbol | Array, alpha: float
) -> Symbol | Array:
    """Return the products of stacks of matrices, whose leading dimensions broadcast."""
    try:
        lead = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    except ValueError:
        node.refuse(f"stacks of the shapes {list(first.shape)} and {list(second.shape)}")
    ends = {_from_back(value) for value in (first, second)} - {None}
    batch = next(iter(ends), None)
    if len(ends) > 1 or (batch is not None and batch > 2 and lead[len(lead) + 2 - batch] != 1):
        node.refuse("it would mix the observations of a batch")
    pairs = [
        product(node, one, other, alpha, None)
        for one, other in zip(_matrices(first, lead), _matrices(second, lead), strict=True)
    ]
    stack = [each if isinstance(each, Symbol) else constants(each) for each in pairs]
    whole = joined([each.moved(lambda v: v[None]) for each in stack], 0)
    shape = (*lead, *stack[0].shape)
    place = None if batch is None else len(shape) - batch
    return whole.moved(lambda v: v.reshape(shape), place)


def _from_back(value: Symbol | Array) -> int | None:
    """Return which dimension is the batch, the last one being 1; None if there is none."""
    return (
        value.ndim - value.batch if isinstance(value, Symbol) and value.batch is not None else None
    )


def _matrices(value: Symbol | Array, lead: tuple[int, ...]) -> Iterator[Symbol | Array]:
    """Yield the matrices of a stack, repeated where its leading dimensions broadcast."""
    own = value.shape[-2:]
    place = _from_back(value)
    batch = 2 - place if place is not None and place <= 2 else None
    for index in np.ndindex(*lead):

        def pick(v: Array, index: tuple[int, ...] = index) -> Array:
            matrix: Array = np.broadcast_to(v, (*lead, *own))[index]
            return matrix

        yield value.moved(pick, batch) if isinstance(value, Symbol) else pick(value)


def _transposed(bias: Symbol | Array) -> Symbol | Array:
    if bias.ndim < 2:
        return bias
    return bias.T if isinstance(bias, np.ndarray) else bias.moved(lambda v: v.T)


def _folded(
    node: Node, first: Array, second: Array, alpha: float, bias: Symbol | Array | None
) -> Array:
    node.tensors.spend(first.size * (second.shape[-1] if second.ndim > 1 else 1), node.label)
    try:
        with np.errstate(all="ignore"):
            result: Array = np.asarray(alpha * (first @ second), first.dtype)
            added = np.broadcast_to(bias, result.shape) if isinstance(bias, np.ndarray) else 0
            return np.asarray(result + added)
    except ValueError:
        node.refuse(f"matrices of the shapes {list(first.shape)} and {list(second.shape)}")


def _layer(
    node: Node,
    value: Symbol,
    weight: Array,
    alpha: float,
    bias: Symbol | Array | None,
    bias_axis: int,
) -> Symbol:
    """Return value [..., in] times weight [out, in]: a layer for each row of the value."""
    if value.ndim and value.batch == value.ndim - 1:
        node.refuse("it would mix the observations of a batch")
    if value.ndim == 0 or value.shape[-1] != weight.shape[1]:
        come = value.shape[-1] if value.ndim else 1
        node.refuse(f"its weights take {weight.shape[1]} values but {come} come in")
    shape = (*value.shape[:-1], weight.shape[0])
    if alpha != 1:
        weight = weight.astype(np.float64) * alpha
    offset, rest = _bias(node, bias, shape)
    rows = value.moved(lambda v: v.reshape(-1, weight.shape[1]))
    found = [
        node.program.dense(rows.part(i), weight, None if offset is None else offset[i])
        for i in range(rows.shape[0])
    ]
    whole = joined([each.moved(lambda v: v[None]) for each in found], 0)
    whole = whole.moved(lambda v: v.reshape(shape), value.batch)
    return whole if rest is None else spelling.add(node.program, whole, rest)


def _bias(
    node: Node, bias: Symbol | Array | None, shape: tuple[int, ...]
) -> tuple[Array | None, Symbol | None]:
    """Return the bias as numbers [rows, out], or as a value to add if it depends on the
    observation."""
    if bias is None or isinstance(bias, Symbol):
        return None, bias
    try:
        wide = np.broadcast_to(bias.astype(np.float64), shape)
    except ValueError:
        node.refuse(f"biases of the shape {list(bias.shape)} for values of {list(shape)}")
    return wide.reshape(-1, shape[-1]), None


def _matrix(node: Node, constant: Array) -> Array:
    while constant.ndim > 2 and constant.shape[0] == 1:
        constant = constant[0]
    if constant.ndim == 1:
        return constant[:, None]
    if constant.ndim != 2:
        node.refuse(f"its weights have the shape {list(constant.shape)}, not two dimensions")
    return constant


def _of_symbols(node: Node, first: Symbol, second: Symbol) -> Symbol:
    """Return the product of two values that both depend on the observation, as sums of products."""
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[0]:
        node.refuse(
            f"values of the shapes {list(first.shape)} and {list(second.shape)}, which both come "
            "from inputs; if one holds weights, make it a constant (tf2onnx makes an input of a "
            "tensor that a tf.function captures: make it a tf.Variable)"
        )
    if first.batch == 1 or second.batch == 0:
        node.refuse("it would mix the observations of a batch")
    count = first.shape[0] * first.size and first.size * second.shape[1]
    if count > MOST_PRODUCTS:
        node.refuse(f"{count} products of two values; {MOST_PRODUCTS} are possible")
    a = first.moved(lambda v: v[:, None, :])
    b = second.moved(lambda v: v.T[None])
    products = spelling.multiply(node.program, a, b)
    shape = products.shape[:2]
    total = node.program.total(products.moved(lambda v: v.reshape(-1, v.shape[2])))
    return total.moved(lambda v: v.reshape(shape), first.batch)


Fused = Callable[[Program, Symbol, float, float, float], Symbol]

FUSED: dict[str, Fused] = {
    "Relu": lambda program, x, *_: program.apply("relu", x),
    "LeakyRelu": lambda program, x, a, b, g: spelling.leaky_relu(program, x, a),
    "Sigmoid": lambda program, x, *_: program.apply("sigmoid", x),
    "Tanh": lambda program, x, *_: program.apply("tanh", x),
    "Softplus": lambda program, x, *_: program.apply("softplus", x),
    "Elu": lambda program, x, a, b, g: program.apply("elu", x, parameters=(a,)),
    "Softsign": lambda program, x, *_: spelling.softsign(program, x),
    "HardSigmoid": lambda program, x, a, b, g: spelling.clip(program, x.mapped(a, b), 0.0, 1.0),
}


@operator("com.microsoft.FusedGemm")
def fused_gemm(node: Node) -> Result:
    """Gemm and an activation, as onnxruntime fuses them."""
    name = node.text("activation", "")
    if name not in FUSED:
        node.refuse(f"its activation {name[:40]!r} is not supported")
    sums = gemm(node)
    if not isinstance(sums, Symbol):
        node.refuse("it does not depend on the observation")
    numbers = [node.number(f"activation_{each}", 0.0) for each in ("alpha", "beta", "gamma")]
    return FUSED[name](node.program, sums, *numbers)
