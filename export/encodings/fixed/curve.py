"""tanh and the gate of recurrent units in whole numbers: straight lines between a table's entries.

A unit takes three of them a tick, so that they are what an 8-bit core spends most of its time on
beside the products: here an entry, its successor and one product of 10 by 8 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.encodings.fixed.tanh import INPUT_BITS, ONE, OUTPUT_BITS
from sparsectl.export.encodings.table import Table

__all__ = [
    "CURVE_SOURCE",
    "END",
    "GATE_SOURCE",
    "INPUT_BITS",
    "OUTPUT_BITS",
    "TABLE",
    "TANH_SOURCE",
    "gate",
    "tanh",
]

_STEPS = 32  # entries in 1; an argument of 2^-13 has 8 bits from entry to entry
_LAST = 171  # the first entry that rounds to ONE
END = _LAST << 8
"""The least argument, in multiples of 2^-13, whose tanh is `ONE`."""


def _entries() -> NDArray[np.int16]:
    """Return the table. A chord lies inside of the curve, so that the ends of each are moved
    outwards by half of its distance from the curve."""
    at = np.arange(_LAST + 1) / _STEPS
    value = np.tanh(at)
    outwards = value * (1 - value**2) / (8 * _STEPS**2)
    whole = np.minimum(np.rint((value + outwards) * 2.0**OUTPUT_BITS), ONE)
    return np.asarray(whole, np.int16)


TABLE = Table("curve_table", _entries())

CURVE_SOURCE = """\
/* tanh of a multiple of 2^-13 that is not negative, as a multiple of 2^-15, within 9e-5: on the
 * line between two entries of the table, which are 1/32 apart. */
static int16_t on_curve(uint32_t far)
{
    if (far >= {{end}}u) {
        return 32767;
    }
    const uint16_t size = (uint16_t)far;
    const uint8_t entry = (uint8_t)(size >> 8), beyond = (uint8_t)size;
    const int16_t start = READ_I16(curve_table + entry);
    const uint16_t rise = (uint16_t)(READ_I16(curve_table + entry + 1) - start);
    const uint16_t part = (uint16_t)((uint16_t)((uint8_t)rise * beyond) >> 8);
    return (int16_t)(start + (int16_t)(part + (uint8_t)(rise >> 8) * beyond));
}
"""
"""A template: {{end}} is `END`."""

TANH_SOURCE = """\
/* tanh of a multiple of 2^-12, as a multiple of 2^-15. */
static int16_t fixed_tanh(int32_t x)
{
    const int16_t value = on_curve((uint32_t)(x < 0 ? -x : x) * 2u);
    return x < 0 ? (int16_t)-value : value;
}
"""

GATE_SOURCE = """\
/* 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2 of a multiple of 2^-12, as a multiple of 2^-16. */
static uint16_t fixed_gate(int32_t x)
{
    const uint16_t value = (uint16_t)on_curve((uint32_t)(x < 0 ? -x : x));
    return (uint16_t)(x < 0 ? 32768u - value : 32768u + value);
}
"""


def tanh(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute the same as `TANH_SOURCE`."""
    value = _on_curve(2 * np.abs(x))
    return np.asarray(np.where(x < 0, -value, value), np.int64)


def gate(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute the same as `GATE_SOURCE`."""
    value = _on_curve(np.abs(x))
    return np.asarray(2**OUTPUT_BITS + np.where(x < 0, -value, value), np.int64)


def _on_curve(far: NDArray[np.int64]) -> NDArray[np.int64]:
    table = TABLE.values.astype(np.int64)
    size = np.minimum(far, END - 1)
    start, rise = table[size >> 8], np.diff(table)[size >> 8]
    found = np.where(far >= END, ONE, start + (rise * (size & 255) >> 8))
    return np.asarray(found, np.int64)
