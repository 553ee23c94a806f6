"""The dense encodings in whole numbers for policies with recurrent units: the sums of many rows at
a time, each layer's by one call, which is in assembly on Cortex-M and on AVR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly import avr_gru, avr_rows, cortex_m_dense
from sparsectl.export.encodings.assembly.avr_stream import CONDITION as ON_AVR
from sparsectl.export.encodings.fixed.matrix import FixedMatrix, offset
from sparsectl.export.encodings.fixed.policy import FixedPolicy, matrices
from sparsectl.export.encodings.fixed.steps import Cell
from sparsectl.export.encodings.table import part_name, row_parts

SIDE = 4
"""Number of rows and of columns in a block; missing ones are 0."""

_ROWS_DECLARATION = """\
/* Groups of four rows of weight times x, added to sums, as in the other form of this; \
written in
 * {{policy}}.S. */
void {{policy}}_rows(const {{weight}} *weight, const int16_t *x, unsigned columns, int32_t *sums,
                 unsigned groups);
"""

_ROWS_LOOP = """\
static void {{policy}}_rows(const {{weight}} *weight, const int16_t *x, unsigned columns, \
int32_t *sums,
                        unsigned groups)
{
    for (; groups > 0; groups--) {
        {{policy}}_four_rows(weight, x, columns, sums);
        weight += 4 * columns;
        sums += 4;
    }
}
"""

_SUMS = """\
/* sums = weight x + bias, in whole groups of four rows: up to three sums more are written. */
static void dense_sums(const {{weight}} *weight, const int32_t *bias, const int16_t *x,
                       unsigned columns, int32_t *sums, unsigned rows)
{
    const unsigned groups = (rows + 3) / 4;
    for (unsigned i = 0; i < 4 * groups; i++) {
        sums[i] = READ_I32(bias + i);
    }
    {{policy}}_rows(weight, x, columns, sums, groups);
}
"""

_UPPER = """\
/* The upper byte of each value, with its sign. */
static void upper_bytes(const int16_t *x, int16_t *upper, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        upper[i] = (int16_t)(x[i] >> 8);
    }
}
"""

_LAYER = """\
{% if on_avr %}
#if {{on_avr}}
/* As in the other form of this; written in {{policy}}.S with its weights. */
void {{policy}}_{{name}}(const int16_t *x, int32_t *sums);

static void {{name}}(const int16_t *x, int32_t *sums)
{
    {{policy}}_{{name}}(x, sums);
}
#else
{% endif %}
static void {{name}}(const int16_t *x, int32_t *sums)
{
{% for call in calls %}
    {{call}}
{% endfor %}
}
{% if on_avr %}
#endif
{% endif %}
"""

_CUT_OFF = """\
/* Sums shifted and cut off at low and high. */
static void cut_off(const int32_t *sums, int16_t *y, unsigned n, int32_t low, int32_t high)
{
    for (unsigned i = 0; i < n; i++) {
        const int32_t value = sums[i] >> {{shift}};
        y[i] = (int16_t)(value < low ? low : (value > high ? high : value));
    }
}
"""


def is_by_rows(policy: FixedPolicy) -> bool:
    """Return whether sums are computed for many rows at a time, as for recurrent units in whole
    numbers."""
    return policy.layers[0].has_cells


def has_avr(policy: FixedPolicy) -> bool:
    """Return whether there is assembly for AVR."""
    return is_by_rows(policy) and all(
        each.columns <= avr_rows.MOST_COLUMNS
        for index in range(len(policy.layers))
        for each in matrices(policy, index)
    )


def avr_cells(policy: FixedPolicy, sum_bits: int) -> list[Cell]:
    """Return the recurrent units that policy.S has for AVR."""
    steps = [step for layer in policy.layers for step in layer.steps]
    return [each for each in steps if isinstance(each, Cell) and avr_gru.serves(each, sum_bits)]


def packed_layers(policy: FixedPolicy, cells: Sequence[Cell]) -> set[int]:
    """Return the layers whose sums only cells in assembly read, on AVR."""
    return {
        index
        for index, layer in enumerate(policy.layers)
        if not layer.ends and all(step in cells for step in layer.steps if isinstance(step, Cell))
    }


def sums_on_avr(policy: FixedPolicy, cells: Sequence[Cell], dtype: np.dtype[Any]) -> int:
    """Return how many int32_t the sums of any layer take on AVR."""
    packed, taken = packed_layers(policy, cells), [1]
    for index in range(len(policy.layers)):
        for matrix in matrices(policy, index):
            is_packed = index in packed and not matrix.is_shifted
            size = avr_rows.packed_bytes(dtype.itemsize) if is_packed else 4
            taken.append(size * ((0 if matrix.is_shifted else matrix.row) + matrix.rows))
    return -(-max(taken) // 4)


def rows_assembly(
    policy: FixedPolicy, dtype: np.dtype[Any], cells: Sequence[Cell], style: CStyle
) -> str:
    """Return policy.S with policy_rows and, for AVR, the sums of each layer and recurrent units."""
    parts = [cortex_m_dense.rows_assembly(dtype == np.int8, style)]
    if has_avr(policy):
        packed = packed_layers(policy, cells)
        layers = [
            replace(each, is_packed=index in packed and not each.matrices[0].is_shifted)
            for index in range(len(policy.layers))
            for each in _layers(policy, index)
        ]
        parts.append(avr_rows.assembly(layers, dtype.itemsize, style))
        for index, layer in enumerate(policy.layers):
            size = avr_rows.packed_bytes(dtype.itemsize) if index in packed else 4
            own = [each for each in layer.steps if each in cells and isinstance(each, Cell)]
            parts += [avr_gru.assembly(each, size, style) for each in own]
    return "\n".join(parts)


def _layers(policy: FixedPolicy, index: int) -> list[avr_rows.Layer]:
    """Return what a layer computes by a call each: every matrix whose sums are shifted next, and
    all others, whose sums follow one another."""
    every = matrices(policy, index)
    found = [avr_rows.Layer(each.name, (each,)) for each in every if each.is_shifted]
    others = tuple(each for each in every if not each.is_shifted)
    return found + ([avr_rows.Layer(f"layer{index}_sums", others)] if others else [])


def layer_calls(policy: FixedPolicy, index: int) -> list[str]:
    """Return the statements of a layer of a policy with recurrent units."""
    calls = []
    for layer in _layers(policy, index):  # shifted ones first: their sums stand where others' will
        calls.append(f"{layer.name}({{x}}, sums);")
        for matrix in layer.matrices:
            if matrix.is_shifted:
                values = offset("{y}", matrix.row)
                limits = f"{matrix.lowest}, {matrix.limit}"
                calls.append(f"cut_off(sums, {values}, {matrix.rows}, {limits});")
    return calls


def _layer_functions(policy: FixedPolicy, dtype: np.dtype[Any], style: CStyle) -> list[str]:
    """Return the functions of the `layer_calls`."""
    found = []
    for layer in (each for i in range(len(policy.layers)) for each in _layers(policy, i)):
        calls = _upper_bytes(layer.matrices)
        for matrix in layer.matrices:
            start = 0 if matrix.is_shifted else matrix.row
            for part in slices(matrix, dtype):
                name = part_name(matrix.name, part, slices(matrix, dtype))
                x = offset("x", matrix.column // SIDE * SIDE)
                x = f"upper{matrix.column}" if matrix.reads_upper else x
                sums = f"{offset('sums', start + part.start)}, {part.stop - part.start}"
                columns = whole_columns(matrix)[1]
                calls.append(f"dense_sums({name}_weight, {name}_bias, {x}, {columns}, {sums});")
        on_avr = ON_AVR if has_avr(policy) else ""
        found.append(
            style.render(_LAYER, name=layer.name, calls=calls, on_avr=style.render(on_avr))
        )
    return found


def _upper_bytes(matrices: Sequence[FixedMatrix]) -> list[str]:
    """Return the statements that make arrays of upper bytes for the matrices that read them."""
    read: dict[int, int] = {}
    for each in matrices:
        if each.reads_upper:
            read[each.column] = max(each.columns, read.get(each.column, 0))
    lines = [f"int16_t upper{at}[{whole(count)}] = {{0}};" for at, count in read.items()]
    return lines + [f"upper_bytes({offset('x', at)}, upper{at}, {n});" for at, n in read.items()]


def rows_runtime(policy: FixedPolicy, dtype: np.dtype[Any], four_rows: str, style: CStyle) -> str:
    """Return the C that the calls need; `four_rows` is the function policy_four_rows."""
    weight = f"{dtype}_t"
    condition = style.render(cortex_m_dense.CONDITION)
    declared = style.render(_ROWS_DECLARATION, weight=weight)
    loop = four_rows + "\n" + style.render(_ROWS_LOOP, weight=weight)
    sums = f"#if {condition}\n{declared}#else\n{loop}#endif\n\n"
    sums += style.render(_SUMS, weight=weight)
    every = [each for index in range(len(policy.layers)) for each in matrices(policy, index)]
    if any(each.reads_upper for each in every):
        sums += "\n" + _UPPER
    if has_avr(policy):
        sums = f"#if !({style.render(ON_AVR)})\n{sums}#endif\n"
    own = [sums, *_layer_functions(policy, dtype, style)]
    if any(each.is_shifted for each in every):
        own.append(style.render(_CUT_OFF, shift=policy.shift))
    return "\n".join(own)


def whole(size: int) -> int:
    return -(-size // SIDE) * SIDE


def whole_columns(matrix: FixedMatrix) -> tuple[int, int]:
    """Return the number of columns before the matrix's own, and that of all columns: whole blocks
    from the start of the values on."""
    if matrix.reads_upper:  # from an array of their own
        return 0, whole(matrix.columns)
    before = matrix.column % SIDE
    return before, whole(before + matrix.columns)


def slices(matrix: FixedMatrix, dtype: np.dtype[Any]) -> list[slice]:
    """Return slices of rows, each of whole blocks."""
    rows, (_, columns) = matrix.rows, whole_columns(matrix)
    blocks = np.arange(0, rows, SIDE)
    parts = row_parts(np.full(len(blocks), dtype.itemsize * SIDE * columns))
    return [slice(part.start * SIDE, min(part.stop * SIDE, rows)) for part in parts]
