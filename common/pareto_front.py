"""The Pareto front: what nothing else beats in everything at once."""

from __future__ import annotations

from collections.abc import Sequence


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Is `one` nowhere greater than `other`, and somewhere less? Less is better."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Positions of the points that no other dominates, in their order."""
    return [
        index
        for index, point in enumerate(points)
        if not any(dominates(other, point) for other in points)
    ]
