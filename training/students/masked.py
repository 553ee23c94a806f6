"""A deterministic student whose cut weights stay zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.students.storage import StudentLayer

Mask = np.ndarray[Any, np.dtype[np.bool_]]


class MaskedStudent(nn.Module):
    """ReLU layers and a tanh output, normalised in and out; weights outside the mask are zero.

    Attributes:
        weights: [out, in] a layer; what stands outside the mask has no effect and no gradient.
        biases: [out] a layer.
        masks: [out, in] a layer, float32 of 0 and 1.
    """

    def __init__(self, layers: Sequence[StudentLayer]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.from_numpy(layer.mean.copy()) for layer in layers)
        self.biases = nn.ParameterList(torch.from_numpy(layer.bias.copy()) for layer in layers)
        masks = [layer.kept(np.inf) for layer in layers]
        self.masks = [torch.from_numpy(mask.astype(np.float32)) for mask in masks]

    def on(self, device: torch.device) -> MaskedStudent:
        """The student moved to the device, masks too."""
        self.masks = [mask.to(device) for mask in self.masks]
        return self.to(device)

    def forward(self, observations: Tensor) -> Tensor:
        """Actions [B, m] in [-1, 1] for observations [B, n]."""
        last = len(self.masks) - 1
        layers = zip(self.weights, self.biases, self.masks, strict=True)
        for index, (weight, bias, mask) in enumerate(layers):
            observations = torch.addmm(bias, observations, (weight * mask).t())
            observations = observations.relu() if index < last else observations.tanh()
        return observations


def simplified(layers: Sequence[StudentLayer], masks: Sequence[Mask]) -> tuple[StudentLayer, ...]:
    """The layers without the weights that cannot matter; the masked outputs stay as they are.

    A weight into a neuron that feeds nothing does nothing. A neuron that nothing feeds is a
    constant: what it adds goes into the next layer's biases, and its outgoing weights are cut.
    """
    kept = [mask.copy() for mask in masks]
    biases = [layer.bias.copy() for layer in layers]
    before = -1
    while (now := sum(int(mask.sum()) for mask in kept)) != before:
        before = now
        for index in range(len(kept) - 1):
            mask, after = kept[index], kept[index + 1]
            used = after.any(axis=0)
            mask[~used] = False
            constant = used & ~mask.any(axis=1)
            outgoing = np.where(after, layers[index + 1].mean, 0)[:, constant]
            biases[index + 1] += outgoing @ np.maximum(biases[index][constant], 0)
            after[:, constant] = False
            biases[index][~used | constant] = 0
    return tuple(
        replace(layer, bias=bias, mask=mask)
        for layer, bias, mask in zip(layers, biases, kept, strict=True)
    )


def kept_weights(layers: Sequence[StudentLayer]) -> int:
    """Weights inside the masks; biases are not among them, as the paper counts."""
    return sum(int(layer.kept(np.inf).sum()) for layer in layers)


def live_biases(layers: Sequence[StudentLayer]) -> int:
    """Biases that are not zero: what a board stores beside the kept weights."""
    return sum(int(np.count_nonzero(layer.bias)) for layer in layers)
