"""stream: one table of bytes per layer, which is read from start to end; for 8-bit cores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly import avr_stream
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.fixed.format import Format
from sparsectl.export.encodings.fixed.functions import WITHOUT_SIGN
from sparsectl.export.encodings.fixed.layers import (
    FixedCode,
    FixedParts,
    ValueArrays,
    fixed_encoded,
)
from sparsectl.export.encodings.fixed.matrix import FixedMatrix, offset
from sparsectl.export.encodings.fixed.obq import policy_in
from sparsectl.export.encodings.fixed.policy import FixedPolicy, matrices
from sparsectl.export.encodings.table import Table, part_name, row_parts
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph

MAX_INPUTS = avr_stream.PAGE_VALUES
"""The most inputs of a layer: the place of a weight, twice its column, is one byte."""
_MAX_ROWS = 255

_RUNTIME = """\
/* y = weight x + bias, row by row; y shifted for the next layer, or the sums where y is 0. A row of
 * the stream is the count of its weights, the upper three bytes of its bias, then each weight's two
 * bytes and twice its column. A sum may leave 32 bits on the way, but comes back. */
static void {{policy}}_stream(const uint8_t *stream, const {{value}} *x, {{value}} *y, \
int32_t *sums,
                          uint8_t rows)
{
    for (uint8_t row = 0; row < rows; row++) {
        uint8_t left = READ_U8(stream);
        uint32_t sum = (uint32_t)READ_U8(stream + 1) << 8;
        sum |= (uint32_t)READ_U8(stream + 2) << 16;
        sum |= (uint32_t)READ_U8(stream + 3) << 24;
        stream += 4;
        for (; left > 0; left--) {
            const uint16_t high = (uint16_t)((uint16_t)READ_U8(stream + 1) << 8);
            const int16_t weight = (int16_t)(uint16_t)(high | READ_U8(stream));
            sum += (uint32_t)((int32_t)weight * x[READ_U8(stream + 2) / 2]);
            stream += 3;
        }
        const int32_t whole = (int32_t)sum;
        if (!y) {
            sums[row] = whole;
        } else {
            y[row] = {{shifted}};
        }
    }
}
"""

_DECLARATION = """\
/* Written out in {{policy}}.S, where the other form of this stands in words. */
void {{policy}}_stream(const uint8_t *stream, const uint16_t *x, uint16_t *y, int32_t *sums,
                   uint8_t rows);
"""

_POSITIVE = """\
static void positive_all(int16_t *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        y[i] = y[i] < 0 ? 0 : y[i];
    }
}
"""

UNSIGNED = Format((32767,), 32, (15,), (12, 13, 14, 15, 16), cuts_off=False, bias_step=256)
SIGNED = Format((32767,), 32, (16,), (12, 13, 14, 15), cuts_off=False, bias_step=256)
"""The format if not all hidden layers are ReLU."""

MOVED_UP = 32_768
"""The number that is added to an observation so that no value has a sign; the biases subtract
it."""


class StreamInt16:
    name = "stream-int16"
    summary = "16-bit weights, their places between them in one stream of bytes; AVR assembly"
    kind: Kind = "int16"
    cores: frozenset[str] | None = frozenset({"atmega328p", "atmega2560"})

    def encode(
        self, graph: PolicyGraph, observations: Float32, *, are_met: bool = False
    ) -> EncodedPolicy:
        widest = max(layer.inputs for layer in graph.layers)
        if widest > MAX_INPUTS:
            raise UserError(
                f"encoding {self.name!r} writes an input's index in one byte, so a layer takes at "
                f"most {MAX_INPUTS} values, not {widest}; choose csr or packed-int16"
            )
        unsigned = all(layer.activation == "relu" for layer in graph.layers[:-1])
        policy = policy_in(UNSIGNED if unsigned else SIGNED, graph, observations, are_met)
        codes = [_code(policy, index, unsigned) for index in range(len(policy.layers))]
        encoded = fixed_encoded(
            self,
            policy,
            codes,
            lambda style: [_runtime(policy, unsigned, style)],
            _in_pages if unsigned else lambda style: FixedParts.plain("int16_t"),
        )
        return replace(encoded, assembly=avr_stream.assembly) if unsigned else encoded


def _in_pages(style: CStyle) -> FixedParts:
    return FixedParts(WITHOUT_SIGN, lambda arrays: _pages(arrays, style))


def _runtime(policy: FixedPolicy, unsigned: bool, style: CStyle) -> str:
    value = WITHOUT_SIGN if unsigned else "int16_t"
    shifted = f"({value})(whole >> {policy.shift})"
    if unsigned:
        shifted = f"whole < 0 ? 0 : {shifted}"
    runtime = style.render(_RUNTIME, value=value, shifted=shifted)
    if not unsigned:
        every = [each for i in range(len(policy.layers)) for each in matrices(policy, i)]
        has_relu = any(each.is_relu and each.is_shifted for each in every)
        return runtime + "\n" + _POSITIVE if has_relu else runtime
    condition, declared = style.render(avr_stream.CONDITION), style.render(_DECLARATION)
    return f"#if {condition}\n{declared}#else\n{runtime}#endif\n"


def _pages(arrays: ValueArrays, style: CStyle) -> list[str]:
    """Return the declarations of the two arrays, each of which starts a page of 256 bytes on
    AVR."""
    return [
        f"#if {style.render(avr_stream.CONDITION)}",
        f"uint16_t pages[128 + {arrays.odd} + 127];",
        "uint16_t *const even = (uint16_t *)(((uintptr_t)pages + 255u) & ~(uintptr_t)255u);",
        *(["uint16_t *const odd = even + 128;"] if arrays.odd else []),
        "#else",
        *arrays.declared(WITHOUT_SIGN),
        "#endif",
    ]


def _code(policy: FixedPolicy, index: int, unsigned: bool) -> FixedCode:
    tables, calls = [], []
    for matrix in matrices(policy, index):
        rows = _rows(matrix, MOVED_UP if unsigned and index == 0 else 0)
        parts = [
            slice(start, min(start + _MAX_ROWS, part.stop))
            for part in row_parts(np.array([len(row) for row in rows]))
            for start in range(part.start, part.stop, _MAX_ROWS)
        ]
        for part in parts:
            name = f"{part_name(matrix.name, part, parts)}_stream"
            tables.append(Table(name, np.array(sum(rows[part], []), np.uint8)))
            array = offset("{y}" if matrix.is_shifted else "sums", matrix.row + part.start)
            target = f"{array}, 0" if matrix.is_shifted else f"0, {array}"
            count = part.stop - part.start
            calls.append(f"{{policy}}_stream({name}, {matrix.reads()}, {target}, {count});")
        if not unsigned and matrix.is_relu and matrix.is_shifted:
            calls.append(f"positive_all({offset('{y}', matrix.row)}, {matrix.rows});")
    return FixedCode(tuple(tables), tuple(calls))


def _rows(matrix: FixedMatrix, moved_up: int) -> list[list[int]]:
    """Return the bytes of each row. A row without weights gets one weight of 0, because the loop
    runs at least once."""
    rows = []
    for weight, bias in zip(matrix.weight, matrix.bias, strict=True):
        columns = np.flatnonzero(weight).tolist() or [0]
        start = (int(bias) - moved_up * int(weight.sum())) & 0xFFFFFFFF
        row = [len(columns), start >> 8 & 0xFF, start >> 16 & 0xFF, start >> 24]
        for column in columns:
            word = int(weight[column]) & 0xFFFF
            row += [word & 0xFF, word >> 8, 2 * column]
        rows.append(row)
    return rows
