"""How an export is compared with its source: what is found of a batch, and how much at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from sparsectl.policy.graph import PolicyGraph

CHUNK_VALUES: Final = 4_000_000
"""Of an array, at a time."""


@dataclass(frozen=True)
class Judged:
    """How one way to run the policy compares with the source on one batch."""

    difference: float
    """The greatest, in units of the action."""
    share: float
    """The greatest, of the action's range there."""
    rounding: float
    """Of float32 in the source's own order, where it had to be looked at; else 0."""


JUDGED = tuple(field.name for field in fields(Judged))


def widest_count(graph: PolicyGraph, count: int) -> int:
    """Of `count` observations as many as fit into memory beside the rest."""
    widest = max(graph.observation_size, graph.action_size)
    return min(count, max(100, CHUNK_VALUES // widest))
