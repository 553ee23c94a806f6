"""Golden vectors: observations, and the actions that the encoded policy gives for them."""

from __future__ import annotations

from typing import Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.finite import require_finite_actions
from sparsectl.policy.activations import Float32
from sparsectl.policy.folder import GoldenVectors
from sparsectl.policy.graph import PolicyGraph

MOST_NUMBERS: Final = 4_000_000
"""The most values of observations and actions together: a policy_vectors.h of some 60 MB, which is
written within half a gigabyte of memory."""
LONGEST_SEQUENCE: Final = 64
"""The most ticks between two resets of a policy that keeps a state; with few vectors it is half of
them."""


def golden_vectors(policy: EncodedPolicy, observations: Float32) -> GoldenVectors:
    """observations: [count, observation_size], all finite; for a policy that keeps a state, tick
    after tick.

    Raises:
        UserError: the policy gives an action that is not finite.
    """
    if not policy.graph.state_size:
        actions = policy.forward(observations)
        require_finite_actions(actions, observations)
        return GoldenVectors(observations, actions)
    length = min(LONGEST_SEQUENCE, -(-len(observations) // 2))
    resets = np.arange(len(observations)) % length == 0
    actions = policy.run(observations, resets)
    require_finite_actions(actions, observations)
    return GoldenVectors(observations, actions, length)


def check_count(graph: PolicyGraph, count: int) -> None:
    """Raises:
    UserError: so many golden vectors of this policy are more than files are good for.
    """
    width = graph.observation_size + graph.action_size
    if count * width > MOST_NUMBERS:
        raise UserError(
            f"vectors is {count}, of {width} numbers each; give at most {MOST_NUMBERS // width}"
        )
