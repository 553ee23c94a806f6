"""Tables are the constant arrays of the generated C; they are in flash on every core."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.c_style import CStyle

MAX_TABLE_BYTES = 32_767
"""The largest array that avr-gcc supports."""

_C_TYPES = {
    np.dtype(np.float32): ("float", 6),
    np.dtype(np.int8): ("int8_t", 16),
    np.dtype(np.uint8): ("uint8_t", 20),
    np.dtype(np.int16): ("int16_t", 12),
    np.dtype(np.uint16): ("uint16_t", 12),
    np.dtype(np.int32): ("int32_t", 8),
    np.dtype(np.uint32): ("uint32_t", 8),
}

_READERS = {
    "READ_I8": "((int8_t)pgm_read_byte(p))",
    "READ_U8": "pgm_read_byte(p)",
    "READ_I16": "((int16_t)pgm_read_word(p))",
    "READ_U16": "pgm_read_word(p)",
    "READ_I32": "((int32_t)pgm_read_dword(p))",
    "READ_U32": "pgm_read_dword(p)",
}
"""Macros that read a table's element on a core whose flash is not data memory (floats:
POLICY_READ_FLOAT)."""


@dataclass(frozen=True)
class Table:
    """One constant array of the generated C."""

    name: str
    values: NDArray[Any]
    unless: str = ""
    """A template for the preprocessor: on these cores nothing reads it, as policy.S has its own."""

    @property
    def size_bytes(self) -> int:
        return int(self.values.nbytes)

    def c_source(self, style: CStyle) -> str:
        """Return the definition as C: `static const TYPE NAME[N] POLICY_FLASH = {…};`"""
        c_type, a_line = _C_TYPES[self.values.dtype]
        flat = self.values.reshape(-1).tolist()
        shown = [style.literal(v) if c_type == "float" else str(v) for v in flat]
        if not shown:  # C has no empty arrays; nothing reads this element
            shown = ["0"]
        rows = [", ".join(shown[i : i + a_line]) for i in range(0, len(shown), a_line)]
        body = ",\n    ".join(rows)
        flash = style.macro("FLASH")
        text = f"static const {c_type} {self.name}[{len(shown)}] {flash} = {{\n    {body},\n}};\n"
        return f"#if !({style.render(self.unless)})\n{text}#endif\n" if self.unless else text


def smallest_unsigned(greatest: int) -> np.dtype[Any]:
    """Return the narrowest type for an index up to `greatest` (at most 65,535)."""
    return np.dtype(np.uint8 if greatest <= 0xFF else np.uint16)


def reader(dtype: np.dtype[Any]) -> str:
    """Return the name of the macro that reads an element of this integer type."""
    return f"READ_{'U' if dtype.kind == 'u' else 'I'}{8 * dtype.itemsize}"


def readers(tables: Iterable[Table]) -> str:
    """Return the definitions of the macros that read these tables; empty if all contain floats."""
    types = {reader(table.values.dtype) for table in tables if table.values.dtype != np.float32}
    used = [name for name in _READERS if name in types]
    if not used:
        return ""
    on_avr = "".join(f"#define {name}(p) {_READERS[name]}\n" for name in used)
    elsewhere = "".join(f"#define {name}(p) (*(p))\n" for name in used)
    return f"#if defined(__AVR__)\n{on_avr}#else\n{elsewhere}#endif\n"


def row_parts(row_bytes: NDArray[np.integer[Any]]) -> list[slice]:
    """Slice a layer's rows so that no part's table exceeds `MAX_TABLE_BYTES`.

    row_bytes: bytes of each row in the layer's largest table. A row that is larger by itself stays
    whole.
    """
    parts, start, size = [], 0, 0
    for row, wanted in enumerate(row_bytes.tolist()):
        if row > start and size + wanted > MAX_TABLE_BYTES:
            parts.append(slice(start, row))
            start, size = row, 0
        size += wanted
    return [*parts, slice(start, len(row_bytes))]


def part_name(name: str, part: slice, parts: list[slice]) -> str:
    """Return the name of a part's tables: the layer's own if it has one part."""
    return name if len(parts) == 1 else f"{name}_part{parts.index(part)}"


def part_offset(part: slice) -> str:
    """Return what is added to the output array for a part's rows, as C."""
    return f" + {part.start}" if part.start else ""
