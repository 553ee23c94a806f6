"""Run an ONNX graph in float64 by onnx's own reference implementation, with or without random
rounding errors of the size of float32's.

Rounding is sampled as in Monte Carlo arithmetic (Parker, Monte Carlo Arithmetic, UCLA CSD-970002,
1997): each node's result is moved at random by what one rounding in float32, or in a coarser type
of the file's own, may move it. What the actions move by is what the file's order of operations
costs, whatever the nodes are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from sparsectl.export.source.onnx_layout import Feeds
from sparsectl.export.source.reference import reference

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)

UNIT_ROUNDOFF = {np.dtype(np.float16): 2.0**-11}
"""Unit roundoffs of types coarser than float32. Finer ones count as float32, which is the finest
type of a policy: a file in float64 is matched as well as float32 can in the file's order."""
FLOAT32_ROUNDOFF = 2.0**-24
LIBRARY = 5.0
"""Bound of the error of a runtime's tanh, exp or erf, in unit roundoffs of the result."""
AMPLITUDE = 4.0
"""Number of unit roundoffs by which each result is perturbed: the error of a sum grows with its
terms, and depends on the order of summation."""
LONG_SUM = 144
"""Terms from which on a sum's rounding error is taken to grow by the root of their number (Higham,
Accuracy and Stability of Numerical Algorithms, section 4.2)."""

ABSOLUTE = ("Sigmoid", "Erf", "Elu", "Selu", "Celu")
"""Operators whose runtimes are as exact as a number near 1 may be, however small the result."""

MOVING = frozenset(
    "Identity Reshape Flatten Squeeze Unsqueeze Transpose Concat Split Slice Gather GatherElements "
    "GatherND Expand Tile Shape Size ConstantOfShape Constant Range Cast CastLike Dropout Pad Relu "
    "LeakyRelu ThresholdedRelu Clip Max Min Where Neg Abs Sign Floor Ceil Round Less Greater "
    "LessOrEqual GreaterOrEqual Equal And Or Not Xor ArgMax ArgMin ReduceMax ReduceMin TopK "
    "ScatterElements ScatterND OneHot IsNaN IsInf NonZero".split()
)
"""Operators whose results are exact."""
PRODUCTS = ("MatMul", "FusedMatMul", "Gemm", "Conv")
CELLS = ("RNN", "GRU", "LSTM")
"""Operators that take sums of the input and of the state inside."""
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Sqrt", "Reciprocal")
COMPOSED = ("Normalization", "Reduce", "Softmax", "Sum", "Mean")
"""Parts of the names of operators that round intermediate results."""


STEPPED = ("QuantizeLinear", "QLinear", "QGemm", "Round", "Floor", "Ceil")
"""Parts of the names of operators that round to whole steps."""
STEPPED_AMPLITUDE = 16.0
"""Factor of the noise on what such an operator takes, so that about every other sample takes the
other one of two steps where float32's rounding decides between them."""


class Float64Graph:
    """The nodes of a model in float64.

    Raises:
        Exception: onnx's reference does not know one of its operators.
    """

    def __init__(self, model: ModelProto) -> None:
        self._evaluator = reference(in_float64(model))
        self.is_stepped = any(_steps(node.op_type) for node in model.graph.node)
        constants = [node.run()[0] for node in self._evaluator.rt_nodes_ if _is_constant(node)]
        constants += self._evaluator.rt_inits_.values()
        self.has_float64_numbers = not all(map(_is_float32, constants))
        """Whether a number of the file is rounded by a policy, which keeps it in float32."""
        self._roundoff = dict[str, float]()
        self._shapes = dict[str, tuple[int, ...]]()

    def note_types(self, model: ModelProto, feeds: Feeds) -> None:
        """Learn from one run in which type and shape the file itself computes each value."""
        own = rounded(feeds, halves(model))
        given = reference(dense(model)).run(None, own, intermediate=True)
        values = {n: value for n, value in dict(given).items() if isinstance(value, np.ndarray)}
        self._roundoff = {
            name: max(UNIT_ROUNDOFF.get(value.dtype, 0.0), FLOAT32_ROUNDOFF)
            for name, value in values.items()
        }
        self._shapes = {name: value.shape for name, value in values.items()}

    def run(
        self, feeds: Feeds, names: list[str], noise: np.random.Generator | None = None
    ) -> list[Any]:
        """Return the values called `names`; with `noise`, a rounding error moves each result."""
        evaluator = self._evaluator
        values: dict[str, Any] = {"": None, **evaluator.rt_inits_}
        if noise is not None:
            values |= {name: _kept(value, noise) for name, value in evaluator.rt_inits_.items()}
        for name, array in feeds.items():
            is_float = np.issubdtype(array.dtype, np.floating)
            values[name] = array.astype(np.float64) if is_float else array
        sums = dict[str, int]()
        for node in evaluator.rt_nodes_:
            given = [values[name] for name in node.input]
            if node.op_type == "Reshape":
                given[1] = self._shape_of_batch(node, given)
            context = {"context": values} if node.need_context() else {}
            results = node.run(*given, **context)
            if noise is not None and _is_constant(node):
                results = [_kept(result, noise) for result in results]
            if noise is not None and (node.op_type not in MOVING or _steps(node.op_type)):
                results = self._moved(node, given, results, noise, sums)
            values.update(zip(node.output, results, strict=False))
        return [values[name] for name in names]

    def _shape_of_batch(self, node: Any, given: list[Any]) -> Any:
        """Return the shape that a Reshape is given. If a file for one observation is run with many,
        and the Reshape keeps the leading size of 1, their number takes its place."""
        data, one = self._shapes.get(node.input[0]), self._shapes.get(node.output[0])
        if not data or not one or data[0] != 1 or one[0] != 1 or np.shape(given[0])[0] == 1:
            return given[1]
        return np.array([np.shape(given[0])[0], *one[1:]], np.int64)

    def _moved(
        self,
        node: Any,
        given: list[Any],
        results: Any,
        noise: np.random.Generator,
        sums: dict[str, int],
    ) -> tuple[Any, ...]:
        """sums: the number of terms in each sum of products so far; this node's is added."""
        roundoff = AMPLITUDE * self._roundoff.get(node.output[0], FLOAT32_ROUNDOFF)
        if _steps(node.op_type):
            wide = STEPPED_AMPLITUDE * roundoff
            return tuple(node.run(*[_shaken(x, wide, noise) for x in given]))
        if node.op_type in PRODUCTS:
            magnitude = node.run(*[None if x is None else np.abs(x) for x in given])[0]
            row = np.shape(given[1])[1:] if node.op_type == "Conv" else np.shape(given[0])[-1:]
            terms = sums[node.output[0]] = int(np.prod(row))
            biases = [each for each in given[2:] if each is not None]
            if node.op_type == "Conv":
                biases = [each.reshape(-1, *[1] * (magnitude.ndim - 2)) for each in biases]
            error = _sum_error(terms, magnitude, results[0], *biases)
            return (results[0] + _noise(noise, np.shape(error)) * roundoff * error,)
        if node.op_type == "Add" and (terms := max(sums.get(name, 0) for name in node.input)):
            # The bias of the products before it: a policy adds those to the bias, one by one.
            error = _sum_error(terms, results[0], *given)
            return (results[0] + _noise(noise, np.shape(error)) * roundoff * error,)
        if node.op_type in CELLS:
            results = _moved_inside(node, _with_moved_sums(node, given, roundoff, noise), noise)
        if node.op_type not in ARITHMETIC:
            roundoff *= LIBRARY
            if any(word in node.op_type for word in COMPOSED):
                results = node.run(*[_shaken(x, roundoff, noise) for x in given])
        moved = tuple(_shaken(result, roundoff, noise) for result in results)
        if node.op_type not in ABSOLUTE:
            return moved
        own = AMPLITUDE * FLOAT32_ROUNDOFF
        return tuple(result + own * _noise(noise, np.shape(result)) for result in moved)


def _steps(operator: str) -> bool:
    return any(part in operator for part in STEPPED)


def in_float64(model: ModelProto) -> ModelProto:
    """Return a copy whose float tensors, constants and casts are float64; the nodes stay."""
    copy = dense(model)
    for tensor in copy.graph.initializer:
        _widen(tensor)
    for node in copy.graph.node:
        _widen_node(node)
    for value in copy.graph.input:
        if value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return copy


def dense(model: ModelProto) -> ModelProto:
    """Return a copy without sparse initialisers, which onnx's reference does not take, and without
    the declarations of values between nodes."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for sparse in model.graph.sparse_initializer:
        values = numpy_helper.to_array(sparse.values)
        places = numpy_helper.to_array(sparse.indices)
        array = np.zeros(tuple(sparse.dims), values.dtype)
        if places.ndim == 1:
            array.reshape(-1)[places] = values
        else:
            array[tuple(places.T)] = values
        copy.graph.initializer.append(numpy_helper.from_array(array, sparse.values.name))
    copy.graph.ClearField("sparse_initializer")
    copy.graph.ClearField("value_info")
    return copy


def halves(model: ModelProto) -> frozenset[str]:
    """Return the names of the inputs of type float16."""
    inputs = model.graph.input
    return frozenset(i.name for i in inputs if i.type.tensor_type.elem_type == TensorProto.FLOAT16)


def rounded(feeds: Feeds, names: frozenset[str]) -> Feeds:
    """Return what is fed with the inputs called `names` in float16, as the file takes them; a run
    in float64 takes the observation itself."""
    with np.errstate(over="ignore"):
        return {n: x.astype(np.float16) if n in names else x for n, x in feeds.items()}


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in FLOATS:
        array = np.asarray(numpy_helper.to_array(tensor), np.float64)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _widen_node(node: NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            _widen(attribute.t)
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in FLOATS:
            attribute.i = TensorProto.DOUBLE
        if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            value = helper.get_attribute_value(attribute)
            tensor = numpy_helper.from_array(np.asarray(value, np.float64))
            attribute.CopyFrom(helper.make_attribute("value", tensor))


def _moved_inside(node: Any, given: list[Any], noise: np.random.Generator) -> Any:
    """Return the results of a cell, each of whose gates is moved by the error that a runtime's
    sigmoid may have: a large state shows it, however small the gate."""
    gate = getattr(node, "f", None)
    if gate is None:
        return node.run(*given)
    own = AMPLITUDE * FLOAT32_ROUNDOFF
    node.f = lambda sums: gate(sums) + own * _noise(noise, np.shape(sums))
    try:
        return node.run(*given)
    finally:
        del node.f


def _sum_error(terms: int, magnitude: Any, *partial: Any) -> Any:
    """Return by how many units a sum is moved.

    Where one term outweighs all others, as the bias of an output layer whose weights are still
    small, every partial sum is as large as that term, and rounds by as much.

    Args:
        terms: their number.
        magnitude: the sum of their absolute values.
        partial: values that partial sums may have had: the whole, and terms that may be large.
    """
    error = np.abs(magnitude) * max(1.0, np.sqrt(terms / LONG_SUM))
    for each in partial:
        error = np.maximum(error, np.sqrt(terms) * np.abs(each))
    return error


def _with_moved_sums(
    node: Any, given: list[Any], roundoff: float, noise: np.random.Generator
) -> list[Any]:
    """Return the inputs of a cell with a rounding error in the sum of each gate; the errors enter
    as further inputs of the cell, with weights of 1."""
    x, weight, recurrent, bias, _, state = [*given, *[None] * (6 - len(given))][:6]
    sums = weight.shape[1]
    magnitude = np.abs(x) @ np.abs(weight[0]).T
    if bias is not None:
        magnitude = magnitude + np.abs(bias[0]).reshape(2, sums).sum(axis=0)
    if state is not None:
        before = state[:, :1] if getattr(node, "layout", 0) else state[:1]
        magnitude = magnitude + np.abs(before) @ np.abs(recurrent[0]).T
    terms = weight.shape[2] + recurrent.shape[2]
    biases = 0.0 if bias is None else np.abs(bias[0]).reshape(2, sums).sum(axis=0)
    errors = roundoff * _sum_error(terms, magnitude, biases)
    one = np.broadcast_to(np.eye(sums), (len(weight), sums, sums))
    moved = np.concatenate([x, errors * _noise(noise, errors.shape)], axis=-1)
    return [moved, np.concatenate([weight, one], axis=-1), *given[2:]]


def _kept(constant: Any, noise: np.random.Generator) -> Any:
    """Return a constant of the file, moved as a policy may round it that keeps it in float32; those
    of a file in float64 alone are."""
    return constant if _is_float32(constant) else _shaken(constant, FLOAT32_ROUNDOFF, noise)


def _is_constant(node: Any) -> bool:
    return bool(node.op_type == "Constant")


def _is_float32(constant: Any) -> bool:
    array = np.asarray(constant)
    if not np.issubdtype(array.dtype, np.floating):
        return True
    with np.errstate(over="ignore"):
        return bool(np.array_equal(array, array.astype(np.float32), equal_nan=True))


def _noise(generator: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return generator.uniform(-1.0, 1.0, shape)


def _shaken(value: Any, roundoff: float, noise: np.random.Generator) -> Any:
    if not isinstance(value, (np.ndarray, np.generic)) or not np.issubdtype(
        value.dtype, np.floating
    ):
        return value
    return value * (1 + roundoff * _noise(noise, value.shape))
