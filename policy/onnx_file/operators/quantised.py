"""Quantised files: weights become the real numbers that they represent, activations are rounded.

A quantised value is its whole number; a scale that depends on the observation (dynamic
quantisation) is a value like any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node, Value
from sparsectl.policy.onnx_file.operators.layers import product
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.symbol import (
    FLOAT,
    WHOLE,
    Symbol,
    SymbolError,
    constants,
    with_kind,
)
from sparsectl.policy.onnx_file.tensors import Array

SMALLEST = float(np.finfo(np.float32).smallest_normal)
_BITS = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 21: "uint4", 22: "int4"}
"""The whole numbers that a value may become: ONNX's number of the type to its name."""
NBITS = 4
"""Bits of a weight in MatMulNBits, unless its attribute says otherwise."""
WHOLE_SUMS = 4
"""The accuracy_level of MatMulNBits at which a runtime may multiply whole numbers of 8 bits."""


def _range(node: Node, kind: str) -> tuple[int, int]:
    if kind not in _BITS.values():
        node.refuse(f"a zero point of type {kind}; 4, 8 and 16 bits are possible")
    bits = int(kind.strip("uint"))
    return (0, 2**bits - 1) if kind[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _along(node: Node, numbers: Array, value: Symbol | Array, axis: int, block: int = 0) -> Any:
    """Return a number, or one for each index along an axis, or for each `block` of them."""
    if block:
        return _of_blocks(node, numbers, value, axis, block)
    if numbers.size == 1:
        return numbers.astype(np.float64).reshape(-1)[0]
    axis = node.from_front(axis, value.ndim)
    if numbers.shape != (value.shape[axis],):
        node.refuse(f"{list(numbers.shape)} scales for a value of {list(value.shape)}")
    form = [1] * value.ndim
    form[axis] = -1
    return np.broadcast_to(numbers.astype(np.float64).reshape(form), value.shape)


def _of_blocks(
    node: Node, numbers: Array, value: Symbol | Array, axis: int, block: int
) -> NDArray[np.float64]:
    """Return a number for each element; the last block along the axis may be a part of one."""
    axis = node.from_front(axis, value.ndim)
    counts = [*value.shape]
    counts[axis] = -(-counts[axis] // block)
    if block < 0 or [*numbers.shape] != counts:
        node.refuse(f"{list(numbers.shape)} blocks of {block} for a value of {list(value.shape)}")
    index = np.arange(value.shape[axis]) // block
    return np.take(numbers.astype(np.float64), index, axis)


def _optional(node: Node, index: int) -> Array | None:
    return None if node.input(index) is None else node.constant(index)


def quantised(
    node: Node,
    value: Symbol,
    scale: Array,
    zero: Array | None,
    axis: int = 1,
    block: int = 0,
    kind: str = "uint8",
) -> Symbol:
    """kind: the type of the whole numbers where no zero point gives it."""
    low, high = _range(node, kind if zero is None else zero.dtype.name)
    step = _along(node, scale, value, axis, block)
    origin = 0.0 if zero is None else _along(node, zero, value, axis, block)
    if (np.asarray(step) <= 0).any():
        node.refuse("a scale is not over 0")
    limits = [np.asarray(limit - origin, np.float64) for limit in (low, high)]
    given = tuple(float(p) if np.ndim(p) == 0 else p for p in (step, *limits))
    found = node.program.apply("quantise", value, parameters=given)
    return with_kind(found.mapped(None, origin), WHOLE)


def dequantised(
    node: Node,
    value: Symbol | Array,
    scale: Array,
    zero: Array | None,
    axis: int = 1,
    block: int = 0,
) -> Symbol | Array:
    step = _along(node, scale, value, axis, block)
    origin = 0.0 if zero is None else _along(node, zero, value, axis, block)
    if isinstance(value, np.ndarray):
        node.tensors.spend(value.size, node.label)
        return np.asarray((value.astype(np.float64) - origin) * step)
    return with_kind(value.mapped(None, -np.asarray(origin)).scaled(step), FLOAT)


def _of(node: Node, index: int, axis: int = 1, block: int = 0) -> Symbol | Array:
    """Return inputs index, index + 1 and index + 2: a value, its scale and its zero point."""
    value = node.input(index)
    if value is None:
        node.refuse(f"its input {index} is missing")
    scale, zero = node.constant(index + 1), _optional(node, index + 2)
    return dequantised(node, value, scale, zero, axis, block)


def _symbol(value: Symbol | Array) -> Symbol:
    return value if isinstance(value, Symbol) else constants(value)


@operator("QuantizeLinear", "com.microsoft.QuantizeLinear")
def quantize_linear(node: Node) -> Result:
    wanted = node.whole("output_dtype", 0)
    if wanted and wanted not in _BITS:
        node.refuse("it quantises to another type than 4, 8 or 16 bits")
    scale, zero, axis = node.constant(1), _optional(node, 2), node.whole("axis", 1)
    block = node.whole("block_size", 0)
    kind = _BITS.get(wanted, "uint8")
    return quantised(node, node.numbers_of(), scale, zero, axis, block, kind)


@operator("DequantizeLinear", "com.microsoft.DequantizeLinear")
def dequantize_linear(node: Node) -> Result:
    return _of(node, 0, node.whole("axis", 1), node.whole("block_size", 0))


@operator("com.microsoft.MatMulNBits")
def matmul_of_packed(node: Node) -> Result:
    """(A, B, scales, zero points, g_idx, bias): B's columns as blocks of packed numbers."""
    if node.input(4) is not None or node.whole("weight_prepacked", 0):
        node.refuse("its weights are in an order of their own (g_idx, weight_prepacked)")
    if node.whole("accuracy_level", 0) == WHOLE_SUMS:
        node.refuse(
            "its accuracy_level 4 lets a runtime round the observation to 8 bits, each in its own "
            "way; quantise with accuracy_level=None"
        )
    weight = _unpacked(node)
    bias = None if node.input(5) is None else node.constant(5)
    return product(node, _symbol(node.numbers_of()), weight, 1.0, bias)


def _unpacked(node: Node) -> Array:
    """Return the weights of MatMulNBits, [K, N]."""
    outputs, inputs = node.whole("N", 0), node.whole("K", 0)
    bits, block = node.whole("bits", NBITS), node.whole("block_size", 0)
    if min(outputs, inputs, block) < 1 or bits not in (2, 4, 8):
        node.refuse(f"{outputs} by {inputs} weights of {bits} bits in blocks of {block}")
    blocks = -(-inputs // block)
    node.tensors.spend(3 * outputs * blocks * block, node.label)
    packed = node.constant(1).reshape(outputs, blocks, -1)
    whole = numbers_of_bits(packed, bits)[..., :block]
    scale = node.constant(2).astype(np.float64).reshape(outputs, blocks, 1)
    zero = _optional(node, 3)
    origin: Any = 2.0 ** (bits - 1)
    if zero is not None and zero.dtype.kind == "f":
        origin = zero.astype(np.float64).reshape(outputs, blocks, 1)
    elif zero is not None:
        origin = numbers_of_bits(zero.reshape(outputs, -1), bits)[:, :blocks, None]
    real = (whole.astype(np.float64) - origin) * scale
    return np.asarray(real.reshape(outputs, -1)[:, :inputs].T)


def numbers_of_bits(packed: Array, bits: int) -> Array:
    """Return the whole numbers in bytes along the last axis, the lowest bits of a byte first."""
    if packed.dtype != np.uint8:
        raise SymbolError("its packed numbers are not of type uint8")
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return parts.reshape(*packed.shape[:-1], -1)


@operator("QLinearMatMul")
def quantised_matmul(node: Node) -> Result:
    found = product(node, _of(node, 0, -2), _of(node, 3, -1), 1.0, None)
    return quantised(node, _symbol(found), node.constant(6), _optional(node, 7))


@operator("com.microsoft.QGemm")
def quantised_gemm(node: Node) -> Result:
    """Apply Gemm to quantised A, B and C; C's scale is the product of the other two."""
    if node.whole("transA", 0):
        node.refuse("it transposes the observation")
    first = _of(node, 0)
    transposed = bool(node.whole("transB", 0))
    second = _of(node, 3, 0 if transposed else 1)
    if not isinstance(second, np.ndarray):
        node.refuse("its weights are not constants")
    bias = _optional(node, 6)
    if bias is not None:
        bias = bias.astype(np.float64) * (node.constant(1) * node.constant(4).astype(np.float64))
    weight = second.T if transposed else second
    alpha = node.number("alpha", 1.0)
    found = _symbol(product(node, first, weight, alpha, None if bias is None else bias * alpha))
    if node.input(7) is None:
        return found
    return quantised(node, found, node.constant(7), _optional(node, 8))


@operator("com.microsoft.QLinearAdd", "com.microsoft.QLinearMul")
def quantised_pair(node: Node) -> Result:
    join = spelling.add if node.operator.endswith("Add") else spelling.multiply
    found = join(node.program, _symbol(_of(node, 0)), _symbol(_of(node, 3)))
    return quantised(node, found, node.constant(6), _optional(node, 7))


@operator("com.microsoft.QLinearSigmoid", "com.microsoft.QLinearLeakyRelu")
def quantised_activation(node: Node) -> Result:
    value = _symbol(_of(node, 0))
    if node.operator.endswith("Sigmoid"):
        found = node.program.apply("sigmoid", value)
    else:
        found = spelling.leaky_relu(node.program, value, node.number("alpha", 0.01))
    return quantised(node, found, node.constant(3), _optional(node, 4))


@operator("DynamicQuantizeLinear")
def dynamic_quantize(node: Node) -> Result:
    return _by_own_range(node)


def _by_own_range(node: Node) -> tuple[Symbol, Symbol, Symbol]:
    """Quantise with a scale from the values themselves: from their minimum, maximum and 0."""
    program, value = node.program, node.symbol()
    least, most = (
        program.apply("relu", program.whole("greatest", value.flat().scaled(sign)))
        for sign in (-1.0, 1.0)
    )
    scale = spelling.add(program, most, least).scaled(1 / 255).moved(lambda v: v.reshape(()))
    # Of nothing but zeros any scale gives zeros, as onnxruntime's 1 does; 0 would give NaN.
    scale = spelling.clip(program, scale, SMALLEST, np.inf)
    least = least.moved(lambda v: v.reshape(()))
    zero = _rounded(node, spelling.divide(program, least, scale), 0.0)
    steps = program.apply("round_half_even", spelling.divide(program, value, scale))
    whole = spelling.clip(program, spelling.add(program, steps, zero), 0.0, 255.0)
    return with_kind(whole, WHOLE), scale, with_kind(zero, WHOLE)


def _rounded(node: Node, value: Symbol, low: float) -> Symbol:
    limited = spelling.clip(node.program, value, low, low + 255.0)
    return node.program.apply("round_half_even", limited)


def _less_zero(node: Node, value: Value, zero: Value, axis: int) -> Symbol | Array:
    if value is None:
        node.refuse("one of its inputs is missing")
    if isinstance(value, np.ndarray) and isinstance(zero, np.ndarray | None):
        origin = 0.0 if zero is None else _along(node, zero, value, axis)
        return np.asarray(value.astype(np.float64) - origin)
    less = constants(np.zeros(())) if zero is None else _symbol(zero)
    return spelling.subtract(node.program, _symbol(value), less)


@operator("MatMulInteger")
def matmul_of_wholes(node: Node) -> Result:
    first = _less_zero(node, node.input(0), node.input(2), -2)
    second = _less_zero(node, node.input(1), node.input(3), -1)
    return with_kind(_symbol(product(node, first, second, 1.0, None)), WHOLE)


@operator("com.microsoft.DynamicQuantizeMatMul")
def dynamic_matmul(node: Node) -> Result:
    """(A, B, B's scale, B's zero point, bias), A quantised by its own range."""
    whole, scale, zero = _by_own_range(node)
    second = dequantised(
        node, node.constant(1), node.constant(2), _optional(node, 3), node.constant(1).ndim - 1
    )
    first = _less_zero(node, whole, zero, -2)
    found = spelling.multiply(node.program, _symbol(product(node, first, second, 1.0, None)), scale)
    return found if node.input(4) is None else spelling.add(node.program, found, node.numbers_of(4))


@operator("com.microsoft.MatMulIntegerToFloat")
def matmul_to_float(node: Node) -> Result:
    """(A, B, A's scale, B's scale, A's zero point, B's zero point, bias)."""
    first = _less_zero(node, node.input(0), node.input(4), -2)
    second = dequantised(
        node, node.constant(1), node.constant(3), _optional(node, 5), node.constant(1).ndim - 1
    )
    found = _symbol(product(node, first, second, 1.0, None))
    scaled = spelling.multiply(node.program, found, _symbol(node.numbers_of(2)))
    return (
        scaled if node.input(6) is None else spelling.add(node.program, scaled, node.numbers_of(6))
    )
