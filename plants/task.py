"""The task of an episode: swing the pole up and keep it upright."""

from __future__ import annotations

from typing import Any

import numpy as np

EPISODE_STEPS = 500
BALANCED_RAD = 0.2
"""Within this angle of upright the pole counts as balanced."""

SUCCESS_STEPS = 100
"""An episode is a success when the pole was balanced for these last steps (2 s at 20 ms)."""


def reward(
    position: Any, angle_rad: Any, pole_velocity: Any, duty: Any, limit: Any, velocity_scale: Any
) -> Any:
    """Return the reward of a step, from 0 to 1: high if the pole is upright, the base centred, and
    motion and duty small.

    The arguments are numbers, or arrays of one shape; `limit` and `velocity_scale` are the rig's.
    """
    upright = (1.0 + np.cos(angle_rad)) / 2.0
    centred = 1.0 - np.minimum(abs(position) / limit, 1.0) ** 2
    # Calm counts for much, or the best that a young policy finds is to let the pole spin.
    calm = 1.0 / (1.0 + (3.0 * pole_velocity / velocity_scale) ** 2)
    sparing = 1.0 - duty**2
    return upright * (1.0 + 4.0 * calm) / 5.0 * (1.0 + centred) / 2.0 * (4.0 + sparing) / 5.0
