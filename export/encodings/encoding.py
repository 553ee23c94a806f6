"""What an encoding is: tables, a hand-written runtime, and a call a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from export.activations import Float32, c_float
from export.graph import PolicyGraph

_C_TYPES = {
    np.dtype(np.float32): ("float", 6),
    np.dtype(np.uint8): ("uint8_t", 20),
    np.dtype(np.uint16): ("uint16_t", 16),
}


@dataclass(frozen=True)
class Table:
    """One constant array of the generated C."""

    name: str
    values: NDArray[np.generic]

    @property
    def size_bytes(self) -> int:
        return int(self.values.nbytes)

    def c_source(self) -> str:
        """`static const TYPE NAME[N] = {…};`, floats in hexadecimal so that every bit survives."""
        c_type, a_line = _C_TYPES[self.values.dtype]
        flat = self.values.reshape(-1).tolist()
        shown = [c_float(v) if c_type == "float" else str(v) for v in flat]
        if not shown:  # C has no empty arrays; nothing reads this element
            shown = ["0"]
        rows = [", ".join(shown[i : i + a_line]) for i in range(0, len(shown), a_line)]
        body = ",\n    ".join(rows)
        return f"static const {c_type} {self.name}[{len(shown)}] = {{\n    {body},\n}};\n"


@dataclass(frozen=True)
class EncodedLayer:
    """A layer's tables and the statement that computes it.

    `call` is C with the places {x} and {y} for the layer's input and output arrays; it leaves the
    sums before the activation in {y}.
    """

    tables: tuple[Table, ...]
    call: str


class Encoding(Protocol):
    """A way to store and run a graph on a chip."""

    name: str
    summary: str
    """One line: the form of the weights."""

    def layers(self, graph: PolicyGraph) -> list[EncodedLayer]:
        """The tables and calls of each layer.

        Raises:
            UserError: the graph has more of something than the encoding's indices can name.
        """

    def runtime(self, graph: PolicyGraph) -> str:
        """The C functions that the calls need."""

    def forward(self, graph: PolicyGraph, observation: ArrayLike) -> Float32:
        """What the C computes, bit for bit; shapes as `PolicyGraph.forward`."""


def table_bytes(encoding: Encoding, graph: PolicyGraph) -> int:
    """Bytes of flash that the tables take; the code is not counted."""
    return sum(table.size_bytes for layer in encoding.layers(graph) for table in layer.tables)


def smallest_unsigned(greatest: int) -> np.dtype[Any]:
    """The narrowest type of an index up to `greatest` (at most 65,535)."""
    return np.dtype(np.uint8 if greatest <= 0xFF else np.uint16)
