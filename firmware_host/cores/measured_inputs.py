"""Make the observations on which a policy's time is measured: golden, extreme and random ones."""

from __future__ import annotations

import numpy as np

from sparsectl.firmware_host.cores.core import Float32

RANDOM: int = 64
_SEED: int = 20
_FAR: float = 1e3
"""Factor of the golden vectors' range at which every activation is in its tail."""


def measured_inputs(golden: Float32, random: int = RANDOM) -> Float32:
    """Return the golden vectors, then corners of their range, then `random` observations within it.

    The range of a signal is what the golden vectors span. Corners: all low, all high, one signal
    high with the others low and the other way round, and all far outside.

    Args:
        golden: [count, observation_size].

    Returns:
        [count + corners + random, observation_size].
    """
    low, high = golden.min(axis=0), golden.max(axis=0)
    size = golden.shape[1]
    one = np.eye(min(size, 16), size, dtype=bool)
    corners = [low[None], high[None], np.where(one, high, low), np.where(one, low, high)]
    far = [_FAR * low[None], _FAR * high[None]]
    drawn = np.random.default_rng(_SEED).uniform(low, high, (random, size))
    return np.concatenate([golden, *corners, *far, drawn]).astype(np.float32)
