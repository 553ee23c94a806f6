"""Count how often a rounding encoding chooses differently: the error of discrete actions, for which
a difference of indices or of switches would mean nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from sparsectl.policy.activations import Float64
from sparsectl.policy.graph import PolicyGraph

INDEX_OF: Final = "argmax"
SWITCH: Final = "step"
"""The activations after which an action is the index of a choice, or on or off."""


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
    """Loss by the other choice according to the source's own values (Q or logits; a switch's two
    choices are worth 0 and its sum), for several heads in the worst one: mean over all
    observations, and greatest."""
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


def chosen_actions(graph: PolicyGraph) -> NDArray[np.bool_]:
    """Return for each action whether it is the index of the greatest of some of the last layer's
    values, or on or off by the sign of one: [action_size]."""
    parts = graph.layers[-1].parts
    each = [[part.activation in (INDEX_OF, SWITCH)] * part.results for part in parts]
    return np.concatenate(each)


def chooses(graph: PolicyGraph) -> bool:
    """Return whether all its actions are such choices."""
    return bool(chosen_actions(graph).all())


def compare_choices(
    graph: PolicyGraph, observations: Float64, found: Float64, exact: Float64, own: Float64
) -> OtherChoices:
    """Count the observations for which `found` chooses differently, in any action that is chosen.

    Args:
        graph: the policy before it is encoded; its values are what regret is measured in.
        observations: [count, observation_size].
        found: the encoded policy's actions, [count, action_size]; as are those of
        exact: the source in float64, and of
        own: the source as it runs in float32, which may break a tie otherwise.
    """
    chosen = chosen_actions(graph)
    wrong = ((found != exact) & (found != own))[:, chosen]
    of_heads = _values_of_choices(graph, observations)
    places = np.flatnonzero(chosen).tolist()
    lost = [_lost(graph, place, found, of_heads[place]) for place in places]
    regret = np.where(wrong.T, np.stack(lost), 0.0).max(axis=0)
    span = np.stack([np.ptp(of_heads[place], axis=1) for place in places])
    count, other = len(found), int(wrong.any(axis=1).sum())
    low, high = wilson(other, count)
    return OtherChoices(
        observations=count,
        other=other,
        ties=int((own != exact)[:, chosen].any(axis=1).sum()),
        share_low=low,
        share_high=high,
        regret_mean=float(regret.mean()),
        regret_max=float(regret.max()),
        value_span=float(np.median(span)),
    )


def _values_of_choices(graph: PolicyGraph, observations: Float64) -> dict[int, Float64]:
    """Return the values of the choices, [count, choices], for each action that is chosen."""
    values, found = graph.values_exact(observations), dict[int, Float64]()
    action = neuron = 0
    for part in graph.layers[-1].parts:
        own = values[:, neuron : neuron + part.neurons]
        if part.activation == INDEX_OF:
            found[action] = own
        elif part.activation == SWITCH:
            for place in range(part.results):
                found[action + place] = np.stack([np.zeros(len(own)), own[:, place]], axis=1)
        action, neuron = action + part.results, neuron + part.neurons
    return found


def _lost(graph: PolicyGraph, head: int, found: Float64, values: Float64) -> Float64:
    """Return how much less an action's choices are worth than the best ones, [count].

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
