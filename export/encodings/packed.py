"""packed: a word a weight, its column in the low bits; for cores that multiply in one cycle."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.errors import UserError
from export.activations import Float32
from export.encodings.encoding import EncodedPolicy, Kind
from export.encodings.fixed_layers import FixedCode, fixed_encoded, is_shifted
from export.encodings.fixed_point import FixedPolicy, Format, fixed_policy
from export.encodings.table import (
    Table,
    part_name,
    part_offset,
    reader,
    row_parts,
    smallest_unsigned,
)
from export.graph import PolicyGraph

RUNTIME = """\
#define SHIFT {shift}
#define NO_LIMIT INT32_MAX

/* y = weight x + bias, row by row. A word holds a weight and, in its low `bits`, its column; a row
 * has count words. Where there is a limit, y is shifted and cut off for the next layer. */
static void packed(const {word} *word, const {count} *count, const int32_t *bias, unsigned bits,
                   const int32_t *x, int32_t *y, unsigned outputs, int32_t low, int32_t high)
{{
    const {word} mask = ({word})((1u << bits) - 1u);
    for (unsigned row = 0; row < outputs; row++) {{
        int32_t sum = READ_I32(bias + row);
        for (unsigned left = {read_count}(count + row); left > 0; left--) {{
            const {word} entry = {read_word}(word);
            sum += (entry >> bits) * x[entry & mask];
            word++;
        }}
        if (high != NO_LIMIT) {{
            sum >>= SHIFT;
            sum = sum < low ? low : (sum > high ? high : sum);
        }}
        y[row] = sum;
    }}
}}
"""


class Packed:
    """Words of 32 bits (16 for the weight) or of 16 (what the column leaves)."""

    constant_time = True
    cores: frozenset[str] | None = None

    def __init__(self, name: str, kind: Kind, summary: str, word_bits: int) -> None:
        self.name = name
        self.kind: Kind = kind
        self.summary = summary
        self._word_bits = word_bits

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        bits = [self._column_bits(layer.inputs) for layer in graph.layers]
        limits = tuple(2 ** (self._word_bits - each - 1) - 1 for each in bits)
        shifts = (15,) if self._word_bits == 32 else (7, 8, 9, 10)
        policy = fixed_policy(graph, observations, Format(limits, 32, shifts))
        count = smallest_unsigned(max(int(_counts(layer.weight).max()) for layer in policy.layers))
        word: np.dtype[Any] = np.dtype(np.int32 if self._word_bits == 32 else np.int16)
        codes = [self._code(policy, i, bits[i], word, count) for i in range(len(bits))]
        runtime = RUNTIME.format(
            shift=policy.shift,
            word=f"{word}_t",
            count=f"{count}_t",
            read_word=reader(word),
            read_count=reader(count),
        )
        return fixed_encoded(self, policy, codes, [runtime])

    def _column_bits(self, inputs: int) -> int:
        if self._word_bits == 32:
            return 16
        bits = max(1, (inputs - 1).bit_length())
        if bits > _MOST_COLUMN_BITS:
            raise UserError(
                f"encoding {self.name!r} has words of 16 bits, {inputs} inputs a layer leave too "
                f"few for the weight; give at most {2**_MOST_COLUMN_BITS} or choose packed-int16"
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
        layer = policy.layers[index]
        tables, calls = [], []
        parts = row_parts(word.itemsize * _counts(layer.weight))
        for part in parts:
            name = part_name(f"layer{index}", part, parts)
            rows, columns = np.nonzero(layer.weight[part])
            words = (layer.weight[part][rows, columns] << bits) | columns
            tables += [
                Table(f"{name}_word", words.astype(word)),
                Table(f"{name}_count", _counts(layer.weight[part]).astype(count)),
                Table(f"{name}_bias", layer.bias[part].astype(np.int32)),
            ]
            arguments = f"{name}_word, {name}_count, {name}_bias, {bits}, {{x}}"
            array = "{y}" if is_shifted(policy, index) else "sums"
            target = f"{array}{part_offset(part)}, {part.stop - part.start}"
            calls.append(f"packed({arguments}, {target}, {_limits(policy, index)});")
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


def _limits(policy: FixedPolicy, index: int) -> str:
    if not is_shifted(policy, index):
        return "0, NO_LIMIT"
    layer = policy.layers[index]
    low = "0" if layer.layer.activation == "relu" else f"-{layer.limit}"
    return f"{low}, {layer.limit}"


def _counts(weight: np.ndarray) -> np.ndarray:
    counts: np.ndarray = np.count_nonzero(weight, axis=1)
    return counts
