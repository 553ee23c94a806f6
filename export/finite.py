"""Actions that are numbers: what overflows float32 is no action."""

from __future__ import annotations

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32

_SHOWN = 6
"""Values of an observation that an error shows."""


def require_finite_actions(actions: Float32, observations: Float32) -> None:
    """Refuse a policy that gives infinity or NaN for an observation that it is meant to meet.

    actions: [count, action_size]; observations: [count, observation_size], all finite.

    Raises:
        UserError: an action is not finite; the first such observation is shown.
    """
    bad = np.argwhere(~np.isfinite(actions))
    if not len(bad):
        return
    row, column = bad[0]
    values = [f"{value:g}" for value in observations[row, :_SHOWN]]
    values += ["…"] if observations.shape[1] > _SHOWN else []
    reason = "a sum goes beyond float32's 3.4e38; scale the weights down"
    if np.isnan(actions[row, column]):
        reason = (
            "0 / 0, a root or logarithm of a number under 0, or a sum beyond float32's 3.4e38; "
            "give --calibration FILE, where the policy does not meet such an observation"
        )
    raise UserError(
        f"action {column} is {actions[row, column]} for the observation [{', '.join(values)}]: "
        f"{reason}, or give the observation limits that it keeps to"
    )
