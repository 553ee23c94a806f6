"""What the source does on the batches that an export is proven on, and the policy beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.finite import finite_inside, require_finite_actions
from sparsectl.export.inputs import Batch
from sparsectl.export.judged import CHUNK_VALUES, DEFAULT_ERROR, require_agreement
from sparsectl.export.other_choices import chooses
from sparsectl.export.source.rounding import SourceRounding
from sparsectl.export.source.source import Source
from sparsectl.policy.activations import Float32, Float64

MOST_SPANS: Final = 4.0
"""The most by which an action's range may exceed its values' span, for judging errors."""
LEAST_RANGE: Final = float(np.finfo(np.float32).tiny) / DEFAULT_ERROR["float32"]
"""Below float32's least normal number its relative error has no bound, as in the probability of a
choice that is never taken; an error of that size is none."""


@dataclass(frozen=True)
class Truth:
    """The source's actions for a batch, and those of the policy.

    The actions of float64 are the truth, so that each way to run it is judged by its own rounding
    alone. Where the source's float32 run is further from them than float32 explains (it computes in
    something coarser, or a comparison fell otherwise), its actions are as true as those.

    Attributes:
        batch: the observations.
        exact: the source's actions in float64, [count, action_size].
        other: what is as true, likewise: elsewhere the same.
        reach: the range by which an error is divided, [action_size].
        reference: the actions of the encoded policy in numpy, [count, action_size].
        is_met: whether the policy encounters these observations.
    """

    batch: Batch
    exact: Float64
    other: Float64
    reach: Float64
    reference: Float32
    is_met: bool

    @property
    def is_judged(self) -> bool:
        """Return whether the encoding is judged on it too, and not the translation alone."""
        return self.is_met or self.batch.is_astride

    def difference(self, actions: Float32) -> Float64:
        """Return how far actions are from what is true, infinity for NaN, [count, action_size]."""
        found = actions.astype(np.float64)
        with np.errstate(invalid="ignore"):
            difference = np.minimum(np.abs(found - self.exact), np.abs(found - self.other))
        difference[np.isnan(difference)] = np.inf
        return difference


class Truths:
    """Those of all batches, in whose observations the source itself gives finite actions.

    Args:
        source, batches: for a policy that keeps a state, those of its tick. The first batch are the
            observations that the policy encounters.
        policy: the encoded policy, likewise.

    Attributes:
        each: a truth for each batch; the first is of what the policy encounters.
        met_own: the source's own actions there, in float32.
        source_error: how far they are from those in float64 at most.
        rounding: the source's rounding errors.

    Raises:
        UserError: an action is not finite for an observation that the policy encounters, or the
            source's two runs are of different functions.
    """

    def __init__(self, source: Source, policy: EncodedPolicy, batches: Sequence[Batch]) -> None:
        self._source, self._policy = source, policy
        self._chunk = int(np.clip(CHUNK_VALUES // policy.graph.widest, 1, 4096))
        self._overflowing: dict[str, NDArray[np.bool_]] = {}
        self.rounding = SourceRounding(source, policy.graph.action_size)
        self.each: list[Truth] = []
        for batch in batches:
            self._add(batch, is_met=batch is batches[0])

    def _add(self, batch: Batch, is_met: bool) -> None:
        observations = batch.observations
        own = self._source.run(observations).astype(np.float64)
        exact = self._source.exact(observations)
        if not is_met:  # far out, what overflows in the source itself has no meaning to compare
            finite = np.isfinite(own).all(axis=1) & np.isfinite(exact).all(axis=1)
            observations, own, exact = observations[finite], own[finite], exact[finite]
            if not len(observations):
                return
        reference = self.in_chunks(self._policy.forward, observations)
        if is_met:
            require_finite_actions(own, observations, f"of {self._source.file} itself ")
            where = (
                "in C, where no argmax chooses among NaN, " if chooses(self._policy.graph) else ""
            )
            require_finite_actions(reference, observations, where)
        batch = replace(batch, observations=observations)
        reach = self._range_of(batch, exact)
        with np.errstate(invalid="ignore"):
            difference = np.abs(own - exact)
        limit = np.broadcast_to(DEFAULT_ERROR["float32"] * reach, exact.shape)
        explained = difference <= self.rounding.raised(batch, difference, limit)[0]
        if is_met:
            require_agreement(self._source, np.where(explained, 0.0, difference / reach))
            self.met_own = own
            self.source_error = float(difference.max())
        other = np.where(explained, exact, own)
        self.each.append(Truth(batch, exact, other, reach, reference, is_met))

    def _range_of(self, batch: Batch, actions: Float64) -> Float64:
        if batch.judged_by == "own" or not self.each:
            return self._action_range(actions)
        met = self.each[0].reach
        return met if batch.judged_by == "met" else np.maximum(met, self._action_range(actions))

    def _action_range(self, actions: Float64) -> Float64:
        """Return high - low of each action, at most `MOST_SPANS` times the actions' span; without a
        limit their span, or their greatest magnitude if they are constant; `LEAST_RANGE` at
        least."""
        span, magnitude = np.ptp(actions, axis=0), np.abs(actions).max(axis=0)
        most = np.where(span > 0, MOST_SPANS * span, np.inf)
        span = np.where(span > 0, span, np.where(magnitude > 0, magnitude, 1.0))
        signals = self._policy.graph.action
        known = [np.nan if s.low is None or s.high is None else s.high - s.low for s in signals]
        limits = np.minimum(known, most)
        found = np.where(np.isnan(known) | (np.array(known) == 0), span, limits)
        return np.maximum(found, LEAST_RANGE)

    def lost(self, truth: Truth, actions: Float32) -> NDArray[np.bool_]:
        """Return which actions far out are not finite since a value inside is not: see policy.h."""
        lost = ~np.isfinite(actions)
        return lost & self.overflows(truth)[:, None] if lost.any() else lost

    def overflows(self, truth: Truth) -> NDArray[np.bool_]:
        """Return for which of its observations a value inside the policy is not finite in float32;
        none of those on which the encoding is judged."""
        observations, name = truth.batch.observations, truth.batch.name
        if truth.is_judged:
            return np.zeros(len(observations), bool)
        if name not in self._overflowing:
            inside = partial(finite_inside, self._policy.graph)
            self._overflowing[name] = self.in_chunks(inside, observations) == 0
        return self._overflowing[name]

    def in_chunks(self, act: Callable[[Any], Float32], observations: Float32) -> Float32:
        """Return the actions for so many observations at a time as memory holds."""
        starts = range(0, len(observations), self._chunk)
        with np.errstate(all="ignore"):  # whoever compares them reports what is not finite
            return np.concatenate([act(observations[at : at + self._chunk]) for at in starts])
