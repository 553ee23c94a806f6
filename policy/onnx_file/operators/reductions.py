"""Operators that combine several values: Reduce…, Softmax, ArgMax, CumSum."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce as folding

import numpy as np

from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.registry import KEEPS, Result, operator
from sparsectl.policy.onnx_file.program import Function, Program, Total
from sparsectl.policy.onnx_file.symbol import WHOLE, Symbol, joined, with_kind


def rows_of(value: Symbol, axes: tuple[int, ...]) -> Symbol:
    """Return the elements as [groups, members]: the dimensions `axes`, which follow one another in
    a group, come last."""
    kept = [axis for axis in range(value.ndim) if axis not in axes]
    members = int(np.prod([value.shape[axis] for axis in axes], dtype=np.int64))
    return value.moved(lambda v: np.transpose(v, [*kept, *axes]).reshape(-1, members))


def each_row(rows: Symbol, function: Callable[[Symbol], Symbol]) -> Symbol:
    """Apply `function` to each row, a vector; the result is [groups, results]."""
    found = [function(rows.part(i)) for i in range(rows.shape[0])]
    return joined([each.moved(lambda v: v.reshape(1, -1)) for each in found], 0)


def sums(program: Program, rows: Symbol) -> Symbol:
    return program.total(rows).moved(lambda v: v.reshape(-1, 1))


def means(program: Program, rows: Symbol) -> Symbol:
    return sums(program, rows).scaled(1 / rows.shape[1])


def greatest(program: Program, rows: Symbol) -> Symbol:
    if rows.shape[1] == 1:
        return rows
    return each_row(rows, lambda row: program.whole("greatest", row))


def log_sums(program: Program, rows: Symbol) -> Symbol:
    """log(sum(exp(x))), with the greatest subtracted first, so that nothing overflows."""
    most = greatest(program, rows)
    powers = program.apply("exponential", spelling.subtract(program, rows, most))
    return spelling.add(program, spelling.logarithm(program, sums(program, powers)), most)


def _squares(program: Program, rows: Symbol) -> Symbol:
    return sums(program, spelling.multiply(program, rows, rows))


def _products(program: Program, rows: Symbol) -> Symbol:
    columns = [rows.part(slice(None), slice(i, i + 1)) for i in range(rows.shape[1])]
    return folding(lambda a, b: spelling.multiply(program, a, b), columns)


_REDUCED: dict[str, Callable[[Program, Symbol], Symbol]] = {
    "ReduceSum": sums,
    "ReduceMean": means,
    "ReduceMax": greatest,
    "ReduceMin": lambda program, rows: greatest(program, rows.scaled(-1.0)).scaled(-1.0),
    "ReduceProd": _products,
    "ReduceSumSquare": _squares,
    "ReduceL1": lambda program, rows: sums(program, spelling.absolute(program, rows)),
    "ReduceL2": lambda program, rows: program.apply("square_root", _squares(program, rows)),
    "ReduceLogSum": lambda program, rows: spelling.logarithm(program, sums(program, rows)),
    "ReduceLogSumExp": log_sums,
}


@operator(*_REDUCED)
def reduce(node: Node) -> Result:
    value, axes = node.numbers_of(), node.wholes(1, "axes")
    if not axes and node.whole("noop_with_empty_axes", 0):
        return value
    if axes is None and value.batch is not None:
        node.refuse("it goes across the observations of a batch")
    gone = node.axes(value, axes or None)
    if value.size == 0:
        node.refuse("it has no values")
    if value.kind == WHOLE and node.operator not in KEEPS:
        node.refuse("it is of whole numbers; cast them to float before it")
    found = _REDUCED[node.operator](node.program, rows_of(value, gone)) if gone else value
    return _without(value, found, gone, bool(node.whole("keepdims", 1)))


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node) -> Result:
    """Return the mean or the greatest of each channel [N, C, …], over the image's axes."""
    value = node.numbers_of()
    if value.ndim < 3:
        node.refuse(f"its image has shape {list(value.shape)}; give [N, C, height, width]")
    if value.size == 0:
        node.refuse("it has no values")
    gone = node.axes(value, list(range(2, value.ndim)))
    pooled = means if node.operator == "GlobalAveragePool" else greatest
    return _without(value, pooled(node.program, rows_of(value, gone)), gone, keepdims=True)


def _without(value: Symbol, found: Symbol, gone: tuple[int, ...], keepdims: bool) -> Symbol:
    """Return [groups, 1] in the value's shape; the dimensions `gone` have the size 1 or are
    removed."""
    sizes = [1 if axis in gone else size for axis, size in enumerate(value.shape)]
    batch = value.batch
    if not keepdims:
        sizes = [size for axis, size in enumerate(sizes) if axis not in gone]
        batch = None if batch is None else batch - sum(axis < batch for axis in gone)
    return found.moved(lambda v: v.reshape(sizes), batch)


@operator("Softmax", "LogSoftmax")
def softmax(node: Node) -> Result:
    value = node.symbol()
    if node.opset >= 13:
        axes: tuple[int, ...] = (node.axis(value.ndim, -1),)
    else:
        axes = tuple(range(node.axis(value.ndim, 1 if value.ndim > 1 else 0), value.ndim))
    for axis in axes:
        node.keep_batch(value, axis)
    rows = rows_of(value, axes)
    program = node.program
    if node.operator == "LogSoftmax":
        found = spelling.subtract(program, rows, log_sums(program, rows))
    else:
        found = each_row(rows, lambda row: program.whole("softmax", without_common(program, row)))
    return unfolded(value, found, axes)


def unfolded(value: Symbol, rows: Symbol, axes: tuple[int, ...]) -> Symbol:
    """Undo `rows_of`."""
    order = [*(axis for axis in range(value.ndim) if axis not in axes), *axes]
    shape = [value.shape[axis] for axis in order]
    back = np.argsort(order).tolist()
    return rows.moved(lambda v: np.transpose(v.reshape(shape), back), value.batch)


def without_common(program: Program, row: Symbol) -> Symbol:
    """Remove a number that is added to all values of a row, which changes neither softmax nor
    argmax. This removes the logarithm of the sum that distributions subtract from their logits."""
    step = program.owner(row)
    if not isinstance(step, Total) or not (row.scale == row.scale[0]).all():
        return row
    terms = step.terms.moved(lambda v: v[row.atom - step.first])
    same = np.all([(a == a[:1]).all(axis=0) for a in terms.arrays], axis=0)
    if not same.any() or same.all():
        return row
    left = program.total(terms.moved(lambda v: v[:, ~same]))
    return without_common(program, left.mapped(row.scale[0], row.total - row.total[0]))


def _logits(program: Program, row: Symbol) -> Symbol:
    """Return the logits of a row of probabilities; their greatest is at the same index."""
    step = program.owner(row)
    if (
        isinstance(step, Function)
        and step.name == "softmax"
        and row.is_plain
        and np.array_equal(row.atom, np.arange(step.first, step.first + step.count))
    ):
        row = step.inputs.moved(lambda v: v[0])
    return without_common(program, row)


@operator("ArgMax", "ArgMin")
def argmax(node: Node) -> Result:
    """Return the index of the greatest, of equals the first or the last; a softmax before it is
    dropped."""
    value = node.symbol()
    axis = node.axis(value.ndim, 0)
    node.keep_batch(value, axis)
    rows = rows_of(value if node.operator == "ArgMax" else value.scaled(-1.0), (axis,))
    program = node.program
    last = bool(node.whole("select_last_index", 0))
    if last:
        rows = rows.part(slice(None), slice(None, None, -1))
    found = each_row(rows, lambda row: program.whole("argmax", _logits(program, row)))
    if last:
        found = found.mapped(-1.0, rows.shape[1] - 1.0)
    kept = _without(value, found, (axis,), bool(node.whole("keepdims", 1)))
    return with_kind(kept, WHOLE)


@operator("CumSum")
def running_sum(node: Node) -> Result:
    value, axis = node.symbol(), int(node.constant(1).reshape(-1)[0])
    axis = node.from_front(axis, value.ndim)
    node.keep_batch(value, axis)
    rows = rows_of(value, (axis,))
    size = rows.shape[1]
    last = range(size) if not node.whole("exclusive", 0) else range(-1, size - 1)
    if node.whole("reverse", 0):
        parts = [range(size - 1 - end, size) for end in last][::-1]
    else:
        parts = [range(end + 1) for end in last]
    node.tensors.spend(4 * rows.size * size, node.label)
    nothing = rows.moved(lambda v: v[:, :1]).scaled(0.0)
    columns = [
        sums(node.program, rows.part(slice(None), list(part))) if part else nothing
        for part in parts
    ]
    return unfolded(value, joined(columns, 1), (axis,))
