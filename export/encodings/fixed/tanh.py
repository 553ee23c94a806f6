"""tanh in whole numbers: a table 1/8 apart and, between, its own derivatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.encodings.table import Table

INPUT_BITS = 12
"""The argument is a multiple of 2^-12."""
OUTPUT_BITS = 15
ONE = 2**OUTPUT_BITS - 1
"""The greatest value: int16_t's. It stands for 1, of which it is 2^-15 short."""

_STEP_BITS = 9  # 2^9 2^-12 = 1/8 from entry to entry
_ENTRIES = 49  # up to 6, where tanh rounds to ONE

TABLE = Table(
    "tanh_table",
    np.minimum(np.rint(np.tanh(np.arange(_ENTRIES) / 8) * 2.0**OUTPUT_BITS), ONE).astype(np.int16),
)

C_SOURCE = """\
/* tanh of a multiple of 2^-12, as a multiple of 2^-15: with t the table's value nearest to it and h
 * the distance to there, t + (1 - t^2) (h - t h^2), within 1.2e-4. */
static int16_t fixed_tanh(int32_t x)
{
    const uint32_t size = x < 0 ? (uint32_t)-x : (uint32_t)x;
    if (size >= 24576u) {
        return x < 0 ? -32767 : 32767;
    }
    const int16_t entry = (int16_t)((size + 256u) >> 9);
    const int16_t h = (int16_t)((int16_t)size - (int16_t)(entry * 512));
    const int16_t t = READ_I16(tanh_table + entry);
    const int16_t th = (int16_t)(((int32_t)t * h) >> 13);
    const int16_t rise = (int16_t)(4 * h - (int16_t)(((int32_t)th * h) >> 12));
    const int16_t slope = (int16_t)(16384 - (int16_t)(((int32_t)t * t) >> 16));
    const int16_t value = (int16_t)(t + (int16_t)(((int32_t)slope * rise + 4096) >> 13));
    return x < 0 ? (int16_t)-value : value;
}
"""


def fixed_tanh(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute the same as `C_SOURCE`."""
    size = np.abs(x)
    inside = np.minimum(size, 24575)
    entry = (inside + 256) >> 9
    h = inside - entry * 512
    t = TABLE.values.astype(np.int64)[entry]
    th = (t * h) >> 13
    rise = 4 * h - ((th * h) >> 12)
    slope = 16384 - ((t * t) >> 16)
    value = np.where(size >= 24576, ONE, t + ((slope * rise + 4096) >> 13))
    return np.asarray(np.where(x < 0, -value, value), np.int64)
