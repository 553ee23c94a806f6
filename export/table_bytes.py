"""Bytes that a student takes on a board: what joins training with the export."""

from __future__ import annotations

from pathlib import Path

from sparsectl.export.encodings.registry import AUTO, encode
from sparsectl.export.observations import spread_observations
from sparsectl.policy.passes import simplify
from sparsectl.policy.student import read_student

OBSERVATIONS = 256
"""Enough for an encoding that uses them."""


def table_bytes(student: Path, encoding: str = AUTO) -> int:
    """Return the bytes of the tables that `sparsectl export` would write: weights, indices, counts,
    biases.

    The code that reads them is not counted: it is the same for any number of weights, and `bench`
    measures it for each board.
    """
    graph = simplify(read_student(student))
    observations = spread_observations(graph, OBSERVATIONS, 0)
    return encode(encoding, graph, observations).table_bytes
