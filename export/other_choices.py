"""Count how often a rounding encoding chooses differently: the error of a policy with one discrete
action, or one per head, for which a difference of indices would mean nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import scipy

from sparsectl.policy.activations import Float64
from sparsectl.policy.graph import PolicyGraph

CHOOSING: Final = "argmax"
"""The activation after which an action is the index of a choice."""


@dataclass(frozen=True)
class OtherChoices:
    """An encoded policy beside its source, on the observations that it meets."""

    observations: int
    other: int
    """Number of observations for which it chooses differently."""
    ties: int
    """Number of observations for which rounding decides the source's own choice: either choice is
    right there."""
    share_low: float
    share_high: float
    """Wilson's 95 % interval of the share, for observations drawn independently."""
    regret_mean: float
    regret_max: float
    """Loss by the other choice according to the source's own values (Q or logits), for several
    heads in the worst one: mean over all observations, and greatest."""
    value_span: float
    """Difference between the source's best and worst choice, median over all observations and
    heads."""

    @property
    def share(self) -> float:
        """Share of the observations."""
        return self.other / self.observations

    def to_json(self) -> dict[str, Any]:
        return {"share": self.share, **asdict(self)}

    @property
    def words(self) -> str:
        """Format the result in one line."""
        return (
            f"{self.other} of {self.observations} observations ({self.share_low:.2g} to "
            f"{self.share_high:.2g} of them, 95 %)"
        )


def chooses(graph: PolicyGraph) -> bool:
    """Return whether each action is the index of the greatest of some of the last layer's
    values."""
    return set(graph.layers[-1].activations) == {CHOOSING}


def compare_choices(
    graph: PolicyGraph, observations: Float64, found: Float64, exact: Float64, own: Float64
) -> OtherChoices:
    """Count the observations for which `found` chooses differently, in any head.

    Args:
        graph: the policy before it is encoded; its values are what regret is measured in.
        observations: [count, observation_size].
        found: the encoded policy's actions, [count, heads]; as are those of
        exact: the source in float64, and of
        own: the source as it runs in float32, which may break a tie otherwise.
    """
    wrong = (found != exact) & (found != own)
    values, heads = graph.values_exact(observations), graph.layers[-1].parts
    ends = np.cumsum([head.neurons for head in heads])[:-1]
    of_heads = np.split(values, ends, axis=1)
    regret = np.stack([_lost(graph, head, found, of_heads[head]) for head in range(len(heads))])
    regret = np.where(wrong.T, regret, 0.0).max(axis=0)
    span = np.stack([np.ptp(each, axis=1) for each in of_heads])
    count, other = len(found), int(wrong.any(axis=1).sum())
    low, high = wilson(other, count)
    return OtherChoices(
        observations=count,
        other=other,
        ties=int((own != exact).any(axis=1).sum()),
        share_low=low,
        share_high=high,
        regret_mean=float(regret.mean()),
        regret_max=float(regret.max()),
        value_span=float(np.median(span)),
    )


def _lost(graph: PolicyGraph, head: int, found: Float64, values: Float64) -> Float64:
    """Return how much less a head's choices are worth than the best ones, [count].

    values: of its choices, [count, choices].
    """
    signal = graph.action[head]
    index = np.rint((found[:, head] - signal.offset) / signal.scale).astype(np.int64)
    index = np.clip(index, 0, values.shape[1] - 1)
    taken = np.take_along_axis(values, index[:, None], axis=1)[:, 0]
    return np.asarray(values.max(axis=1) - taken, np.float64)


def wilson(other: int, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927)."""
    found = scipy.stats.binomtest(other, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
