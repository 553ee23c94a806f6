"""Measure the error of fixed point between the observations that the policy encounters and the
limits at which its inputs saturate. The error is reported and not judged, since the scales are
chosen for what the policy encounters."""

from __future__ import annotations

import numpy as np

from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.source.source import Source
from sparsectl.policy.activations import Float32

ROWS = 1000
"""Observations of each kind: with one element beyond what is encountered, and with all elements
drawn uniformly up to saturation."""


def error_up_to_cut_off(source: Source, policy: EncodedPolicy, met: Float32) -> float | None:
    """Return the greatest difference from the source, in units of the action, for observations of
    which some elements are beyond those of `met` and none is beyond saturation; None: no input
    saturates.

    met: [count, observation_size]
    """
    if policy.input_cut_off is None:
        return None
    generator = np.random.default_rng(0)
    greatest = np.finfo(np.float32).max / 4
    cut_off = np.minimum(np.array(policy.input_cut_off), greatest)
    rows, size = np.arange(ROWS), len(cut_off)
    uniform = generator.uniform(-cut_off, cut_off, (ROWS, size))
    one = met[generator.integers(0, len(met), ROWS)].astype(np.float64)
    column = generator.integers(0, size, ROWS)
    low, high = met.min(axis=0).astype(np.float64), met.max(axis=0).astype(np.float64)
    end = np.where(generator.random(ROWS) < 0.5, -cut_off[column], cut_off[column])
    start = np.where(end < 0, low[column], high[column])
    one[rows, column] = generator.uniform(np.minimum(start, end), np.maximum(start, end))
    observations = np.concatenate([uniform, one]).astype(np.float32)
    with np.errstate(all="ignore"):
        difference = np.abs(policy.forward(observations) - source.exact(observations))
    return float(np.max(difference, where=np.isfinite(difference), initial=0.0))
