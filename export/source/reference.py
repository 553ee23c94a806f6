"""onnx's reference implementation, with corrections of the operators that it gets wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, defs, helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_rnn import CommonRNN


class BatchNormalization(OpRun):
    """A BatchNormalization of a network that has been trained. In versions 7 to 13 of the operator,
    which say nothing about training, the reference always uses the mean and variance of the batch
    that it is given."""

    op_domain = ""

    def _run(
        self, x: Any, scale: Any, bias: Any, mean: Any, var: Any, epsilon: float = 1e-5, **_: Any
    ) -> tuple[Any]:
        wide = (-1, *[1] * (x.ndim - 2))
        scale, bias, mean, var = (np.reshape(each, wide) for each in (scale, bias, mean, var))
        return ((scale * (x - mean) / np.sqrt(var + epsilon) + bias).astype(x.dtype),)


class Softmax(OpRun):
    """The operator before opset 13, where it goes over all dimensions from `axis` on together; the
    reference goes over that one alone."""

    op_domain = ""
    op_schema = defs.get_schema("Softmax", 12, "")

    def _run(self, x: Any, axis: int = 1) -> tuple[Any]:
        rows = np.reshape(x, (math.prod(x.shape[: axis % x.ndim]), -1))
        powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
        return (np.reshape(powers / powers.sum(axis=-1, keepdims=True), x.shape).astype(x.dtype),)


class LogSoftmax(OpRun):
    """The operator before opset 13, like Softmax."""

    op_domain = ""
    op_schema = defs.get_schema("LogSoftmax", 12, "")

    def _run(self, x: Any, axis: int = 1) -> tuple[Any]:
        rows = np.reshape(x, (math.prod(x.shape[: axis % x.ndim]), -1))
        rest = rows - rows.max(axis=-1, keepdims=True)
        found = rest - np.log(np.exp(rest).sum(axis=-1, keepdims=True))
        return (np.reshape(found, x.shape).astype(x.dtype),)


class RNN(CommonRNN):
    """The operator RNN with the activations that the reference does not know."""

    op_domain = ""

    def choose_act(self, name: str, alpha: float | None, beta: float | None) -> Any:
        known = {"Relu": lambda x: np.maximum(x, 0), "Sigmoid": lambda x: 1 / (1 + np.exp(-x))}
        if name in known:
            return known[name]
        return super().choose_act(name, alpha, beta)  # type: ignore[no-untyped-call]


class DequantizeLinear(OpRun):
    """The real numbers that whole ones stand for; the reference has none before opset 19."""

    op_domain = ""

    def _run(
        self, x: Any, scale: Any, zero: Any = None, axis: int = 1, block_size: int = 0, **_: Any
    ) -> tuple[Any]:
        real = _real(x, *_along(np.shape(x), axis, scale, zero, block=block_size))
        return (real.astype(np.asarray(scale).dtype),)


class QuantizeLinear(OpRun):
    """Whole steps of 4, 8 or 16 bits."""

    op_domain = ""

    def _run(
        self,
        x: Any,
        scale: Any,
        zero: Any = None,
        axis: int = 1,
        block_size: int = 0,
        output_dtype: int = 0,
        **_: Any,
    ) -> tuple[Any]:
        if zero is None and output_dtype:
            zero = np.zeros((), helper.tensor_dtype_to_np_dtype(output_dtype))
        numbers = _along(np.shape(x), axis, scale, zero, block=0 if zero is None else block_size)
        return (_quantised(x, *numbers),)


class FusedMatMul(OpRun):
    """onnxruntime's product of matrices, either one transposed, times a number."""

    op_domain = "com.microsoft"

    def _run(
        self, a: Any, b: Any, alpha: float = 1.0, transA: int = 0, transB: int = 0, **_: Any
    ) -> tuple[Any]:
        first, second = (
            np.swapaxes(each, -1, -2) if turned and np.ndim(each) > 1 else each
            for each, turned in ((a, transA), (b, transB))
        )
        return (np.asarray(alpha * (first @ second)).astype(a.dtype),)


class QGemm(OpRun):
    """onnxruntime's Gemm of whole numbers: of A and B with a scale and a zero point each, a bias C
    in steps of the product of both scales, and the scale and zero point of the result."""

    op_domain = "com.microsoft"

    def _run(self, *given: Any, alpha: float = 1.0, transA: int = 0, transB: int = 0) -> tuple[Any]:
        a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero = _filled(given, 9)
        second = _real(b, *_along(np.shape(b), 0 if transB else 1, b_scale, b_zero))
        first = _real(a, a_scale, a_zero)
        found = (first.T if transA else first) @ (second.T if transB else second)
        if bias is not None:
            found = found + bias * np.reshape(np.asarray(a_scale) * b_scale, -1)
        return (_quantised(alpha * found, y_scale, y_zero),)


class QLinearAdd(OpRun):
    """onnxruntime's sum of two quantised values, quantised."""

    op_domain = "com.microsoft"

    def _run(self, *given: Any) -> tuple[Any]:
        return (_quantised(_real(*given[:3]) + _real(*given[3:6]), *_filled(given, 8)[6:]),)


class QLinearMul(OpRun):
    """onnxruntime's product of two quantised values, quantised."""

    op_domain = "com.microsoft"

    def _run(self, *given: Any) -> tuple[Any]:
        return (_quantised(_real(*given[:3]) * _real(*given[3:6]), *_filled(given, 8)[6:]),)


class QLinearSigmoid(OpRun):
    """onnxruntime's sigmoid of a quantised value, quantised."""

    op_domain = "com.microsoft"

    def _run(self, *given: Any) -> tuple[Any]:
        given = _filled(given, 5)
        return (_quantised(1 / (1 + np.exp(-_real(*given[:3]))), *given[3:]),)


class QLinearLeakyRelu(OpRun):
    """onnxruntime's leaky ReLU of a quantised value, quantised."""

    op_domain = "com.microsoft"

    def _run(self, *given: Any, alpha: float = 0.01) -> tuple[Any]:
        given = _filled(given, 5)
        value = _real(*given[:3])
        return (_quantised(np.where(value >= 0, value, alpha * value), *given[3:]),)


class MatMulNBits(OpRun):
    """onnxruntime's product with a matrix [K, N] in packed whole numbers of few bits, each column
    in blocks with a scale and a zero point each. K and N are those of the operator."""

    op_domain = "com.microsoft"

    def _run(
        self, *given: Any, K: int = 0, N: int = 0, bits: int = 4, block_size: int = 0, **_: Any
    ) -> tuple[Any]:
        first, packed, scale, zero, _order, bias = _filled(given, 6)
        whole = _unpacked(packed, bits).reshape(N, -1, block_size)
        count = whole.shape[1]
        if zero is None:
            zero = np.full((N, count), 2.0 ** (bits - 1))
        elif np.asarray(zero).dtype == np.uint8:
            zero = _unpacked(np.reshape(zero, (N, -1)), bits)[:, :count]
        numbers = (np.reshape(each, (N, count, 1)) for each in (scale, zero))
        weight = _real(whole, *numbers).reshape(N, -1)[:, :K].T.astype(first.dtype)
        return (first @ weight + (0 if bias is None else bias),)


def _unpacked(packed: Any, bits: int) -> Any:
    """Return the whole numbers in bytes, along the last axis."""
    each = np.unpackbits(packed, axis=-1, bitorder="little")
    groups = each.reshape(*packed.shape[:-1], -1, bits)
    return groups @ (1 << np.arange(bits))


def _filled(given: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    return (*given, *[None] * (count - len(given)))


def _along(shape: tuple[int, ...], axis: int, *numbers: Any, block: int = 0) -> Iterator[Any]:
    """Yield scales and zero points so that several of them belong to the indices of an axis, or to
    each `block` of them."""
    for each in numbers:
        if each is not None and block and np.ndim(each) == len(shape):
            repeated = np.repeat(each, block, axis)
            yield np.take(repeated, np.arange(shape[axis]), axis)
        elif each is None or np.size(each) < 2:
            yield each
        else:
            form = [1] * len(shape)
            form[axis] = -1
            yield np.reshape(each, form)


def _real(value: Any, scale: Any, zero: Any = None) -> Any:
    """Return the real numbers that whole ones stand for."""
    origin = 0.0 if zero is None else _number(zero).astype(np.float64)
    return (np.asarray(value, np.float64) - origin) * _number(scale).astype(np.float64)


def _quantised(value: Any, scale: Any, zero: Any = None) -> Any:
    """Return the nearest whole steps of a value, halves to the even one; with no scale, itself. A
    quotient is rounded to float32 first, as that decides a tie."""
    if scale is None:
        return value
    origin = _number(np.zeros((), np.uint8) if zero is None else zero)
    steps = np.rint((value / _number(scale).astype(np.float64)).astype(np.float32))
    found = np.clip(steps + origin.astype(np.float64), *_limits(origin.dtype))
    return found.astype(origin.dtype)


def _limits(dtype: Any) -> tuple[int, int]:
    """Return the least and the greatest number of a type of whole numbers, such as int4, of which
    numpy.iinfo knows nothing."""
    bits = int(dtype.name.strip("uint"))
    least = 0 if dtype.name.startswith("u") else -(2 ** (bits - 1))
    return least, least + 2**bits - 1


def _number(each: Any) -> Any:
    """Return an array of one number as that number, which changes no shape."""
    array = np.asarray(each)
    return array.reshape(()) if array.size == 1 else array


NEW: tuple[type[OpRun], ...] = (
    *(BatchNormalization, RNN, DequantizeLinear, QuantizeLinear),
    *(FusedMatMul, QGemm, QLinearAdd, QLinearMul, QLinearSigmoid, QLinearLeakyRelu, MatMulNBits),
)


OLD: tuple[type[OpRun], ...] = (Softmax, LogSoftmax)
AXIS_ALONE = 13
"""The opset from which on Softmax and LogSoftmax go over one dimension alone."""


def reference(model: ModelProto) -> ReferenceEvaluator:
    """Run `model`; a BatchNormalization by the mean and variance that it has, an RNN with any of
    the activations that the exporter reads, a Softmax by its opset, and operators that onnxruntime
    adds.

    Raises:
        Exception: the reference does not know one of its operators.
    """
    opset = max((each.version for each in model.opset_import if not each.domain), default=1)
    old = OLD if opset < AXIS_ALONE else ()
    return ReferenceEvaluator(model, new_ops=[*NEW, *old])
