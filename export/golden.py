"""Golden vectors: observations, and the actions that the encoded policy gives for them."""

from __future__ import annotations

from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.finite import require_finite_actions
from sparsectl.policy.activations import Float32
from sparsectl.policy.folder import GoldenVectors
from sparsectl.policy.graph import PolicyGraph

MOST_NUMBERS: Final = 4_000_000
"""Observations and actions together: a policy_vectors.h of some 60 MB, and all that is kept of them
while it is written in half a gigabyte."""


def golden_vectors(policy: EncodedPolicy, observations: Float32) -> GoldenVectors:
    """observations: [count, observation_size], all finite.

    Raises:
        UserError: the policy gives an action that is not finite for one of them.
    """
    actions = policy.forward(observations)
    require_finite_actions(actions, observations)
    return GoldenVectors(observations, actions)


def check_count(graph: PolicyGraph, count: int) -> None:
    """Raises:
    UserError: so many golden vectors of this policy are more than files are good for.
    """
    width = graph.observation_size + graph.action_size
    if count * width > MOST_NUMBERS:
        raise UserError(
            f"vectors is {count}, of {width} numbers each; give at most {MOST_NUMBERS // width}"
        )
