"""Which weights go when a student must have fewer: a score for each, and a cut to a count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsectl.training.students.images import repeats, used_outputs

Mask = NDArray[np.bool_]
Scores = NDArray[np.float32]

Score = Callable[[Sequence[Tensor], Sequence[Tensor]], list[Tensor]]
"""Weights [out, in] and root mean square inputs [in], a layer each → a score a weight; high stays.
"""


def magnitude(weights: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """|w|: a weight's own size (Han et al. 2015)."""
    return [weight.abs() for weight in weights]


def activation(weights: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """|w| · rms(x): what a weight adds to its neuron's sum (Sun et al. 2023, "Wanda")."""
    return [weight.abs() * size for weight, size in zip(weights, inputs, strict=True)]


def neuron(weights: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Whole neurons: a weight counts as much as the lesser of the two that it joins.

    A hidden neuron's score is the norm of what it adds to the next layer's sums, an observation's
    likewise; so a threshold cuts rows and columns, and what is left is a smaller dense network.
    """
    added = [(weight * size).norm(dim=0) for weight, size in zip(weights, inputs, strict=True)]
    outputs = torch.full_like(weights[-1][:, 0], torch.inf)
    neurons = [*added, outputs]
    return [
        torch.minimum(before[None, :], after[:, None]).expand_as(weight)
        for weight, before, after in zip(weights, neurons, neurons[1:], strict=False)
    ]


SCORES: dict[str, Score] = {
    "magnitude": magnitude,
    "activation": activation,
    "neuron": neuron,
    "curvature": activation,  # where a student is still too large for its curvature
}


def connected_weights(masks: Sequence[Mask]) -> int:
    """Weights that are left without those into neurons that feed nothing, or out of ones unfed."""
    kept = [mask.copy() for mask in masks]
    before = -1
    while (now := sum(int(mask.sum()) for mask in kept)) != before:
        before = now
        for mask, after in zip(kept, kept[1:], strict=False):
            places = repeats(mask, after)
            live = mask.any(axis=1) & used_outputs(mask, after)
            mask[~live] = False
            after[:, np.tile(~live, places)] = False
    return now


def cut(scores: Sequence[Scores], masks: Sequence[Mask], keep: int) -> list[Mask]:
    """The masks with the best-scored weights only, as many as leave at most `keep` connected ones.

    A neuron that loses all its inputs stays: it is a constant, which `simplified` folds later.
    Weights of one score go together, so that whole neurons do. Where the scores of one layer are
    all so low that it would go first and leave nothing, each layer loses the same share instead.
    Nothing is left where not even the best few fit.
    """
    masks_left = _cut(scores, masks, keep)
    if connected_weights(masks_left):
        return masks_left
    return _cut([_ranks(*pair) for pair in zip(scores, masks, strict=True)], masks, keep)


def _cut(scores: Sequence[Scores], masks: Sequence[Mask], keep: int) -> list[Mask]:
    inside = [score[mask] for score, mask in zip(scores, masks, strict=True)]
    thresholds = np.unique(np.concatenate(inside))

    def at(index: int) -> list[Mask]:
        if index == len(thresholds):
            return [np.zeros_like(mask) for mask in masks]
        pairs = zip(scores, masks, strict=True)
        return [mask & (score >= thresholds[index]) for score, mask in pairs]

    low, high = 0, len(thresholds)
    while low < high:  # the count falls with the threshold
        middle = (low + high) // 2
        if connected_weights(at(middle)) <= keep:
            high = middle
        else:
            low = middle + 1
    return at(low)


def _ranks(scores: Scores, mask: Mask) -> Scores:
    """Of each score the share of its layer that is no higher; the best of each layer has 1."""
    inside = np.sort(scores[mask])
    ranks = np.searchsorted(inside, scores, side="right") / max(len(inside), 1)
    return np.asarray(ranks, np.float32)
