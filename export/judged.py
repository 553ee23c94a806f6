"""Compare an export with its source: what is measured on a batch, and how much at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.export.source.source import Source
from sparsectl.policy.activations import Float64
from sparsectl.policy.graph import PolicyGraph

CHUNK_VALUES: Final = 4_000_000
"""The most values of an array at a time."""

APART, APART_ROWS = 0.05, 0.5
"""A share of the action's range, and a share of the observations. Neither coarse numbers nor jumps
part the source's float32 run from its run in float64 by more than both."""


DEFAULT_ERROR: Final = {"float32": 1e-6, "float16": 5e-3, "int16": 5e-3, "int8": 5e-2}
"""Greatest difference from the model, relative to the action's range, by the form of a weight."""
TRANSLATION_SHARE: Final = 1e-2
"""The limit before encoding: a hundredth of that after it, and at least float32's 1e-6."""


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


def require_agreement(source: Source, apart: Float64) -> None:
    """Refuse a file that its two runs take for different functions.

    apart: [observations, actions], how far its run in float32 is from that in float64, relative to
        the action's range, and 0 where rounding explains it.

    Raises:
        UserError: far, on most observations.
    """
    count = int((apart > APART).any(axis=1).sum())
    if count > APART_ROWS * len(apart):
        raise UserError(
            f"{source.file} gives other actions in {source.run_by} than in float64 for {count} of "
            f"the {len(apart)} observations that it meets, so that what it computes depends on who "
            "runs it; check it with onnx.checker and export it again"
        )
