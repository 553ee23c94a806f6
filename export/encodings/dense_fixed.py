"""dense-int16 and dense-int8: every weight is stored as a whole number, four rows by four columns
at a time.

With dense-int8, products with a GRU's state take the upper byte of its 16 bits, and its gates add a
sum over the observations to one over the state, each with a scale of its own: rounding the state
costs a tenth of what rounding the observations' weights does, and a product of two bytes takes an
8-bit core 9 cycles in place of 13.

On Cortex-M4 and others that multiply two pairs of 16 bits at once, in assembly.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly import avr_gru, avr_rows, cortex_m_dense
from sparsectl.export.encodings.assembly.avr_stream import CONDITION as ON_AVR
from sparsectl.export.encodings.dense_rows import (
    SIDE,
    avr_cells,
    has_avr,
    is_by_rows,
    layer_calls,
    rows_assembly,
    rows_runtime,
    slices,
    sums_on_avr,
    whole,
    whole_columns,
)
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.fixed.cells import has_cells
from sparsectl.export.encodings.fixed.format import Format
from sparsectl.export.encodings.fixed.layers import (
    FixedCode,
    FixedParts,
    ValueArrays,
    fixed_encoded,
)
from sparsectl.export.encodings.fixed.matrix import FixedMatrix, Int, offset
from sparsectl.export.encodings.fixed.obq import policy_in
from sparsectl.export.encodings.fixed.policy import FixedPolicy, is_shifted, matrices
from sparsectl.export.encodings.places import described, function_name, places_loop
from sparsectl.export.encodings.table import Table, part_name, reader
from sparsectl.policy.activations import Float32
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import PolicyGraph

_CELL_VALUE_BITS = (10, 11, 12, 13, 14, 15)
"""Numbers of bits of values beside recurrent units, whose sums have few bits."""

BYTES = (0, 2, 1, 3)
"""The order of the columns in a block of bytes, because SXTB16 takes every second one."""

_DECLARATION = """\
/* Four rows of weight times x, added to sum, as in the other form of this; \
written in {{policy}}.S. */
void {{policy}}_four_rows(const {{weight}} *weight, const int16_t *x, unsigned columns, \
int32_t *sum);
"""

_ROWS = """\
/* Four rows of weight times x, added to sum. The weights of four columns follow one another a row;
 * columns is a multiple of four. */
static void {{policy}}_four_rows(const {{weight}} *weight, const int16_t *x, unsigned columns,
                             int32_t *sum)
{
    for (; columns > 0; columns -= 4) {
        for (unsigned row = 0; row < 4; row++) {
            int32_t total = sum[row];
{% for column in columns %}
            total += (int32_t){{read}}(weight + {{loop.index0}}) * x[{{column}}];
{% endfor %}
            sum[row] = total;
            weight += 4;
        }
        x += 4;
    }
}
"""

_DENSE = """\
/* weight x + bias: shifted and cut off at low and high for the next layer into y, or as they are
 * into sums. */
static void dense_fixed(const {{weight}} *weight, const int32_t *bias, const int16_t *x,
                        unsigned columns, int16_t *y, int32_t *sums, unsigned outputs, int32_t low,
                        int32_t high)
{
    for (unsigned row = 0; row < outputs; row += 4) {
        int32_t sum[4];
        for (unsigned i = 0; i < 4; i++) {
            sum[i] = READ_I32(bias + row + i);
        }
        {{policy}}_four_rows(weight, x, columns, sum);
        for (unsigned i = 0; i < 4 && row + i < outputs; i++) {
            if (sums != 0) {
                sums[row + i] = sum[i];
            } else {
                const int32_t value = sum[i] >> {{shift}};
                y[row + i] = (int16_t)(value < low ? low : (value > high ? high : value));
            }
        }
        weight += 4 * columns;
    }
}
"""


class DenseFixed:
    """A dense encoding with weights of 8 or 16 bits and values of 16."""

    cores: frozenset[str] | None = None

    def __init__(self, name: str, kind: Kind, summary: str, form: Format) -> None:
        self.name = name
        self.kind: Kind = kind
        self.summary = summary
        self._form = form

    def encode(
        self, graph: PolicyGraph, observations: Float32, *, are_met: bool = False
    ) -> EncodedPolicy:
        dtype: np.dtype[Any] = np.dtype(self.kind)
        form = self._form
        if has_cells(graph) and dtype == np.int8:
            form = replace(
                form,
                sum_bits=avr_rows.BYTE_SUM_BITS,
                value_bits=_CELL_VALUE_BITS,
                reads_upper=True,
            )
        policy = policy_in(form, graph, observations, are_met)
        on_avr = has_avr(policy)
        codes = [_code(policy, index, dtype, on_avr) for index in range(len(policy.layers))]
        places = [
            _at_places(policy, index, layer.layer.convolution, dtype)
            for index, layer in enumerate(policy.layers)
            if layer.layer.convolution
        ]
        cells = avr_cells(policy, form.sum_bits) if on_avr else []

        def parts(style: CStyle) -> FixedParts:
            calls = {each.name: style.render(avr_gru.DECLARATION, name=each.name) for each in cells}
            sums = None
            if on_avr:
                sums = (style.render(ON_AVR), sums_on_avr(policy, cells, dtype))
            return FixedParts("int16_t", _arrays, on_avr=on_avr, in_assembly=calls, fewer_sums=sums)

        encoded = fixed_encoded(
            self, policy, codes, lambda style: [_runtime(policy, dtype, style), *places], parts
        )
        if is_by_rows(policy):
            return replace(encoded, assembly=partial(rows_assembly, policy, dtype, cells))
        return replace(encoded, assembly=partial(cortex_m_dense.assembly, dtype == np.int8))


def _arrays(arrays: ValueArrays) -> list[str]:
    """Return the arrays of the values, rounded up to whole blocks; what is beyond the last value is
    multiplied by 0."""
    sizes = {"even": arrays.even, "odd": arrays.odd}
    return [f"int16_t {name}[{whole(size)}] = {{0}};" for name, size in sizes.items() if size]


def _code(policy: FixedPolicy, index: int, dtype: np.dtype[Any], on_avr: bool) -> FixedCode:
    tables = []
    unless = ON_AVR if on_avr else ""
    for matrix in matrices(policy, index):
        parts = slices(matrix, dtype)
        for part in parts:
            name = part_name(matrix.name, part, parts)
            rows = part.stop - part.start
            bias = np.zeros(whole(rows), np.int32)
            bias[:rows] = matrix.bias[part]
            before, _ = whole_columns(matrix)
            weight = np.pad(matrix.weight[part], ((0, 0), (before, 0)))
            tables.append(Table(f"{name}_weight", _blocks(weight, dtype), unless))
            tables.append(Table(f"{name}_bias", bias, unless))
    if is_by_rows(policy):
        return FixedCode(tuple(tables), tuple(layer_calls(policy, index)))
    if policy.layers[index].layer.convolution:
        into = "{y}" if is_shifted(policy, index) else "sums"
        return FixedCode(tuple(tables), (f"{function_name(index)}({{x}}, {into});",))
    (matrix,) = matrices(policy, index)
    calls = _calls(matrix, slices(matrix, dtype), matrix.reads(SIDE), "{y}", "sums")
    return FixedCode(tuple(tables), tuple(calls))


def _calls(matrix: FixedMatrix, parts: list[slice], x: str, y: str, sums: str) -> list[str]:
    _, columns = whole_columns(matrix)
    calls = []
    for part in parts:
        name = part_name(matrix.name, part, parts)
        start = matrix.row + part.start
        into = f"{offset(y, start)}, 0" if matrix.is_shifted else f"0, {offset(sums, start)}"
        limits = f"{matrix.lowest}, {matrix.limit}" if matrix.is_shifted else "0, 0"
        rows = part.stop - part.start
        call = f"dense_fixed({name}_weight, {name}_bias, {x}, {columns}, {into}, {rows}, {limits});"
        calls.append(call)
    return calls


def _at_places(
    policy: FixedPolicy, index: int, convolution: Convolution | None, dtype: np.dtype[Any]
) -> str:
    if convolution is None:
        raise ValueError("it is not a convolution")
    layer = policy.layers[index]
    value = "int16_t" if is_shifted(policy, index) else "int32_t"
    (matrix,) = matrices(policy, index)
    calls = _calls(matrix, slices(matrix, dtype), "patch", "y", "y")
    loop = places_loop(
        convolution,
        "int16_t *p = patch;",
        lambda each: [f"*p++ = {each};"],
        [*calls, f"y += {len(layer.bias)};"],
        zero="0",
    )
    lines = [f"int16_t patch[{whole(convolution.patch_size)}] = {{0}};", "", *loop]
    body = "".join(f"    {line}".rstrip() + "\n" for line in lines)
    head = f"static void {function_name(index)}(const int16_t *x, {value} *y)"
    return f"{described(layer.layer, convolution)}{head}\n{{\n{body}}}\n"


def _blocks(weight: Int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return the weights in blocks of four rows by four columns, one block after another; bytes are
    in the order 0, 2, 1, 3."""
    rows, columns = weight.shape
    filled = np.zeros((whole(rows), whole(columns)), dtype)
    filled[:rows, :columns] = weight
    blocks = filled.reshape(-1, SIDE, filled.shape[1] // SIDE, SIDE).transpose(0, 2, 1, 3)
    ordered = blocks[..., list(BYTES)] if dtype == np.int8 else blocks
    return np.ascontiguousarray(ordered).reshape(-1)


def _runtime(policy: FixedPolicy, dtype: np.dtype[Any], style: CStyle) -> str:
    weight, read = f"{dtype}_t", reader(dtype)
    order = BYTES if dtype == np.int8 else range(SIDE)
    rows = style.render(_ROWS, weight=weight, read=read, columns=order)
    declared = style.render(_DECLARATION, weight=weight)
    condition = style.render(cortex_m_dense.CONDITION)
    if is_by_rows(policy):
        return rows_runtime(policy, dtype, rows, style)
    dense = style.render(_DENSE, weight=weight, shift=policy.shift)
    return f"#if {condition}\n{declared}#else\n{rows}#endif\n\n{dense}"


DENSE_INT16 = DenseFixed(
    "dense-int16",
    "int16",
    "every weight as int16, in blocks of four rows by four columns",
    Format((32767,), 32, (9, 11, 13, 15), (15,)),
)
DENSE_INT8 = DenseFixed(
    "dense-int8",
    "int8",
    "every weight as int8, in blocks of four rows by four columns",
    Format((127,), 32, (5, 7, 9, 11), (15,), headroom=2.0),
)
