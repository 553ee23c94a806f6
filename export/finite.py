"""Require finite actions: a value that overflows float32 is no action."""

from __future__ import annotations

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import PolicyGraph

_SHOWN = 6
"""Number of values of an observation in an error message."""


def require_finite_actions(
    actions: Float32 | Float64, observations: Float32, where: str = ""
) -> None:
    """Refuse a policy that gives infinity or NaN for an observation that it may encounter.

    actions: [count, action_size]; observations: [count, observation_size], all finite; where: what
    was run, for the message.

    Raises:
        UserError: an action is not finite; the first such observation is shown.
    """
    bad = np.argwhere(~np.isfinite(actions))
    if not len(bad):
        return
    row, column = bad[0]
    values = [f"{value:g}" for value in observations[row, :_SHOWN]]
    values += ["…"] if observations.shape[1] > _SHOWN else []
    reason = (
        "a sum beyond float32's 3.4e38, the logarithm of 0 or a division by 0; scale the weights "
        "down"
    )
    if np.isnan(actions[row, column]):
        reason = (
            "0 / 0, a root or logarithm of a number under 0, or a sum beyond float32's 3.4e38; "
            "give --calibration FILE, where the policy does not meet such an observation"
        )
    raise UserError(
        f"action {column} {where}is {actions[row, column]} for the observation "
        f"[{', '.join(values)}]: {reason}, or give the observation the limits within which it stays"
    )


def finite_inside(graph: PolicyGraph, observations: Float32) -> Float32:
    """Return 1 for each observation for which every value inside the policy is finite in float32,
    else 0, [count]: a weight of 0 turns infinity into NaN.

    observations: [count, observation_size]
    """
    x, found = observations.T, np.ones(len(observations), np.float32)
    for layer in graph.layers:
        x = layer.forward(x)
        found *= np.isfinite(x).all(axis=0)
    return found
