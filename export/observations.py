"""Make observations to test a policy with, spread over the signals' limits."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import PolicyGraph

PLAUSIBLE_LIMIT = 1e6
"""A larger limit means none (Gymnasium writes the largest float32 there)."""


def spread_observations(graph: PolicyGraph, count: int, seed: int) -> Float32:
    """[count, observation_size] in physical units over the signals' limits, the same for the same
    seed. A signal without a limit reaches 3 scales from its offset on that side."""
    offset, scale = graph.observation_offset, np.abs(graph.observation_scale)
    low = _limits([s.low for s in graph.observation] * graph.frames, offset - 3 * scale)
    high = _limits([s.high for s in graph.observation] * graph.frames, offset + 3 * scale)
    return spread(np.minimum(low, high), np.maximum(low, high), offset, scale, count, seed)


def spread(
    low: Float64, high: Float64, offset: Float64, scale: Float64, count: int, seed: int
) -> Float32:
    """[count, observation_size] between low and high, [observation_size] each.

    The first ones are all zeros (or the nearest values), all low limits and all high limits. Of the
    others, every second is uniform over the limits and every second normal around `offset` with
    `scale`, clipped to the limits.
    """
    generator = np.random.default_rng(seed)
    shape = (count, len(low))
    observations = generator.uniform(low, high, shape)
    near = np.clip(offset + scale * generator.standard_normal(shape), low, high)
    observations[1::2] = near[1::2]
    corners = np.stack([np.clip(0.0, low, high), low, high])
    observations[: len(corners)] = corners[:count]
    return observations.astype(np.float32)


def _limits(limits: list[float | None], otherwise: Float64) -> Float64:
    known = np.array([np.inf if limit is None else limit for limit in limits])
    return np.where(np.abs(known) <= PLAUSIBLE_LIMIT, known, otherwise)
