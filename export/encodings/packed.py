"""packed: one word per weight, with its column in the low bits, for cores that multiply in one
cycle."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly import cortex_m_packed
from sparsectl.export.encodings.encoding import EncodedPolicy, Kind
from sparsectl.export.encodings.fixed.format import Format
from sparsectl.export.encodings.fixed.layers import FixedCode, fixed_encoded
from sparsectl.export.encodings.fixed.matrix import FixedMatrix, offset
from sparsectl.export.encodings.fixed.obq import policy_in
from sparsectl.export.encodings.fixed.policy import FixedPolicy, matrices
from sparsectl.export.encodings.table import (
    Table,
    part_name,
    reader,
    row_parts,
    smallest_unsigned,
)
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph

_RUNTIME = """\
/* y = weight x + bias, row by row. A word holds a weight and, in its low `bits`, its column; a row
 * has count words. y is shifted and cut off for the next layer, or the sums if bits has its sign
 * set. */
static void {{policy}}_packed(const {{word}} *word, const {{count}} *count, const int32_t *bias,
                          const int32_t *x, int32_t *y, unsigned outputs, int32_t bits)
{
    const unsigned shift = (unsigned)bits & 0xffu;
    const {{word}} mask = ({{word}})((1u << shift) - 1u);
    for (unsigned row = 0; row < outputs; row++) {
        int32_t sum = READ_I32(bias + row);
        for (unsigned left = {{read_count}}(count + row); left > 0; left--) {
            const {{word}} entry = {{read_word}}(word);
            sum += (entry >> shift) * x[entry & mask];
            word++;
        }
        if (bits >= 0) {
            sum >>= {{shift}};
            const int32_t low = {{low}};
            sum = sum < low ? low : (sum > {{high}} ? {{high}} : sum);
        }
        y[row] = sum;
    }
}
"""

_DECLARATION = """\
/* Written out in {{policy}}.S, where the other form of this stands in words. */
void {{policy}}_packed(const int16_t *word, const uint8_t *count, const int32_t *bias,
                   const int32_t *x, int32_t *y, unsigned outputs, int32_t bits);
"""

_VALUE_BITS = 15
_SUMS = "INT32_MIN + "


class Packed:
    """A packed encoding with words of 32 bits, 16 of them for the weight, or of 16, of which the
    weight gets what the column leaves."""

    cores: frozenset[str] | None = None

    def __init__(self, name: str, kind: Kind, summary: str, word_bits: int) -> None:
        self.name = name
        self.kind: Kind = kind
        self.summary = summary
        self._word_bits = word_bits

    def encode(
        self, graph: PolicyGraph, observations: Float32, *, are_met: bool = False
    ) -> EncodedPolicy:
        bits = [self._column_bits(layer.inputs) for layer in graph.layers]
        limits = tuple(2 ** (self._word_bits - each - 1) - 1 for each in bits)
        shifts = (15,) if self._word_bits == 32 else (7, 8, 9, 10)
        headroom = 1.25 if self._word_bits == 32 else 2.0
        form = Format(limits, 32, shifts, (_VALUE_BITS,), headroom=headroom)
        policy = policy_in(form, graph, observations, are_met)
        every = [each for index in range(len(bits)) for each in matrices(policy, index)]
        count = smallest_unsigned(max(int(_counts(each.weight).max()) for each in every))
        word: np.dtype[Any] = np.dtype(np.int32 if self._word_bits == 32 else np.int16)
        codes = [self._code(policy, i, bits[i], word, count) for i in range(len(bits))]
        has_assembly = self._word_bits == 16 and count == np.uint8 and _is_relu(graph)

        def runtime(style: CStyle) -> list[str]:
            return [_runtime(policy, word, count, has_assembly, style)]

        encoded = fixed_encoded(self, policy, codes, runtime)
        if not has_assembly:
            return encoded
        return replace(encoded, assembly=partial(cortex_m_packed.assembly, policy.shift))

    def _column_bits(self, inputs: int) -> int:
        if self._word_bits == 32:
            return 16
        bits = max(1, (inputs - 1).bit_length())
        if bits > _MOST_COLUMN_BITS:
            raise UserError(
                f"encoding {self.name!r} has words of 16 bits, of which {inputs} inputs per layer "
                f"leave too few for the weight; give at most {2**_MOST_COLUMN_BITS} or choose "
                "packed-int16"
            )
        return bits

    def _code(
        self,
        policy: FixedPolicy,
        index: int,
        bits: int,
        word: np.dtype[Any],
        count: np.dtype[Any],
    ) -> FixedCode:
        tables, calls = [], []
        for matrix in matrices(policy, index):
            parts = row_parts(word.itemsize * _counts(matrix.weight))
            for part in parts:
                name = part_name(matrix.name, part, parts)
                rows, columns = np.nonzero(matrix.weight[part])
                words = (matrix.weight[part][rows, columns] << bits) | columns
                tables += [
                    Table(f"{name}_word", words.astype(word)),
                    Table(f"{name}_count", _counts(matrix.weight[part]).astype(count)),
                    Table(f"{name}_bias", matrix.bias[part].astype(np.int32)),
                ]
                arguments = f"{name}_word, {name}_count, {name}_bias, {matrix.reads()}"
                array = "{y}" if matrix.is_shifted else "sums"
                target = f"{offset(array, matrix.row + part.start)}, {part.stop - part.start}"
                calls.append(f"{{policy}}_packed({arguments}, {target}, {_form(matrix)}{bits});")
        return FixedCode(tuple(tables), tuple(calls))


_MOST_COLUMN_BITS = 9

PACKED_INT16 = Packed(
    "packed-int16", "int16", "words of 32 bits: a weight of 16 and its column", 32
)
PACKED_INT8 = Packed(
    "packed-int8",
    "int8",
    "words of 16 bits: a column in as few as it needs and its weight",
    16,
)


def _runtime(
    policy: FixedPolicy,
    word: np.dtype[Any],
    count: np.dtype[Any],
    has_assembly: bool,
    style: CStyle,
) -> str:
    limit = 2**_VALUE_BITS - 1
    runtime = style.render(
        _RUNTIME,
        shift=policy.shift,
        word=f"{word}_t",
        count=f"{count}_t",
        read_word=reader(word),
        read_count=reader(count),
        low=0 if _is_relu(policy.graph) else f"bits & BOTH_SIDES ? -{limit} : 0",
        high=limit,
    )
    if not _is_relu(policy.graph):
        runtime = "#define BOTH_SIDES 0x100\n\n" + runtime
    if not has_assembly:
        return runtime
    condition, declared = style.render(cortex_m_packed.CONDITION), style.render(_DECLARATION)
    return f"#if {condition}\n{declared}#else\n{runtime}#endif\n"


def _form(matrix: FixedMatrix) -> str:
    if not matrix.is_shifted:
        return _SUMS
    return "" if matrix.is_relu else "BOTH_SIDES + "


def _is_relu(graph: PolicyGraph) -> bool:
    return all(layer.activation == "relu" for layer in graph.layers[:-1])


def _counts(weight: np.ndarray) -> np.ndarray:
    counts: np.ndarray = np.count_nonzero(weight, axis=1)
    return counts
