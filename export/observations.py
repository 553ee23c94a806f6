"""Observations to test a policy with, spread over what its signals allow."""

from __future__ import annotations

import numpy as np

from sparsectl.export.activations import Float32
from sparsectl.export.graph import PolicyGraph

PLAUSIBLE_LIMIT = 1e6
"""A limit beyond this says "none" (Gymnasium writes the largest float32 there)."""


def spread_observations(graph: PolicyGraph, count: int, seed: int) -> Float32:
    """[count, observation_size] in physical units, the same for the same seed.

    The first are all zeros, all low limits and all high limits. Of the others every second is
    uniform over the limits and every second normal around the normaliser's offset with its scale,
    cut to the limits. A signal without a limit reaches 3 scales from its offset on that side.
    """
    generator = np.random.default_rng(seed)
    offset, scale = graph.observation_offset, np.abs(graph.observation_scale)
    low = _limits([s.low for s in graph.observation] * graph.frames, offset - 3 * scale)
    high = _limits([s.high for s in graph.observation] * graph.frames, offset + 3 * scale)
    low, high = np.minimum(low, high), np.maximum(low, high)
    shape = (count, graph.observation_size)
    observations = generator.uniform(low, high, shape)
    near = np.clip(offset + scale * generator.standard_normal(shape), low, high)
    observations[1::2] = near[1::2]
    corners = np.stack([np.zeros_like(low), low, high])
    observations[: len(corners)] = corners[:count]
    return observations.astype(np.float32)


def _limits(limits: list[float | None], otherwise: np.ndarray) -> np.ndarray:
    known = np.array([np.inf if limit is None else limit for limit in limits])
    return np.where(np.abs(known) <= PLAUSIBLE_LIMIT, known, otherwise)
