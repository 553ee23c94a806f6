"""How often an encoding that rounds chooses otherwise: the error of a policy that takes one of a
few choices, where a difference of indices would say nothing."""

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
    """Those for which it chooses otherwise."""
    ties: int
    """Those for which the source itself chooses by rounding: either choice is right there."""
    share_low: float
    share_high: float
    """Wilson's 95 % interval of the share, for observations drawn independently."""
    regret_mean: float
    regret_max: float
    """What the other choice is worth less, by the source's own values (Q or logits): mean over all
    observations, and greatest."""
    value_span: float
    """Between the source's best and worst choice, the median over all observations."""

    @property
    def share(self) -> float:
        """Of the observations."""
        return self.other / self.observations

    def to_json(self) -> dict[str, Any]:
        return {"share": self.share, **asdict(self)}

    @property
    def words(self) -> str:
        """In a line."""
        return (
            f"{self.other} of {self.observations} observations ({self.share_low:.2g} to "
            f"{self.share_high:.2g} of them, 95 %)"
        )


def chooses(graph: PolicyGraph) -> bool:
    """Whether the action is the index of the greatest of the last layer's values."""
    return graph.layers[-1].activation == CHOOSING


def compare_choices(
    graph: PolicyGraph, observations: Float64, found: Float64, exact: Float64, own: Float64
) -> OtherChoices:
    """Count the other choices among `found`.

    Args:
        graph: the policy before it is encoded; its values are what regret is measured in.
        observations: [count, observation_size].
        found: the encoded policy's actions, [count, 1]; as are those of
        exact: the source in float64, and of
        own: the source as it runs in float32, which may break a tie otherwise.
    """
    differs = (found != exact).any(axis=1)
    ties = (own != exact).any(axis=1)
    wrong = differs & (found != own).any(axis=1)
    values = graph.values_exact(observations)
    best = values.max(axis=1)
    signal = graph.action[0]
    index = np.rint((found[:, 0] - signal.offset) / signal.scale).astype(np.int64)
    taken = np.take_along_axis(values, np.clip(index, 0, values.shape[1] - 1)[:, None], axis=1)
    regret = np.where(wrong, best - taken[:, 0], 0.0)
    count, other = len(found), int(wrong.sum())
    low, high = wilson(other, count)
    return OtherChoices(
        observations=count,
        other=other,
        ties=int(ties.sum()),
        share_low=low,
        share_high=high,
        regret_mean=float(regret.mean()),
        regret_max=float(regret.max()),
        value_span=float(np.median(best - values.min(axis=1))),
    )


def wilson(other: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    found = scipy.stats.binomtest(other, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
