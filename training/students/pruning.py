"""Prune a student to a number of weights: a score for each weight, and the cut."""

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
"""Weights [out, in] and root mean square inputs [in] of each layer → a score per weight; those with
high scores stay."""


def magnitude(weights: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Score by |w| (Han et al. 2015)."""
    return [weight.abs() for weight in weights]


def activation(weights: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Score by |w| · rms(x), the contribution to the neuron's sum (Sun et al. 2023, "Wanda")."""
    return [weight.abs() * size for weight, size in zip(weights, inputs, strict=True)]


def neuron(weights: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Score whole neurons: a weight has the lower score of the two neurons that it connects.

    The score of a hidden neuron or an observation is the norm of its contributions to the next
    layer's sums. A threshold therefore cuts rows and columns, and leaves a smaller dense network.
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
    "curvature": activation,  # for students that are too large for the curvature
}


def connected_weights(masks: Sequence[Mask]) -> int:
    """Count the weights that are left without dead ones: into unread neurons, or out of ones
    without inputs."""
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
    """Return masks with only the best weights, such that at most `keep` connected ones are left.

    A neuron that loses all its inputs stays: it is a constant, which `simplified` folds later.
    Weights of equal score are cut together, so that whole neurons are. If the scores of one layer
    are so low that it would lose all of its weights, each layer loses the same share instead.
    Nothing is left if not even the weights of the highest score fit.
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
    while low < high:  # the count decreases as the threshold rises
        middle = (low + high) // 2
        if connected_weights(at(middle)) <= keep:
            high = middle
        else:
            low = middle + 1
    return at(low)


def _ranks(scores: Scores, mask: Mask) -> Scores:
    """Return for each score the share of its layer that is not higher; 1 for the best."""
    inside = np.sort(scores[mask])
    ranks = np.searchsorted(inside, scores, side="right") / max(len(inside), 1)
    return np.asarray(ranks, np.float32)
