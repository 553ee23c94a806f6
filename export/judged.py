"""Compare an export with its source: what is measured on a batch, and how much at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from sparsectl.policy.graph import PolicyGraph

CHUNK_VALUES: Final = 4_000_000
"""The most values of an array at a time."""


@dataclass(frozen=True)
class Judged:
    """The comparison of one form of the policy with the source on one batch."""

    difference: float
    """The greatest difference, in units of the action."""
    share: float
    """The greatest difference, relative to the action's range there."""
    rounding: float
    """The rounding error of float32 in the source's own order, if it had to be computed; else 0."""


JUDGED = tuple(field.name for field in fields(Judged))


def widest_count(graph: PolicyGraph, count: int) -> int:
    """Return how many of `count` observations fit into memory beside the rest."""
    widest = max(graph.observation_size, graph.action_size)
    return min(count, max(100, CHUNK_VALUES // widest))
