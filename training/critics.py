"""Twin critics, both in one batched matrix product a layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TwinCritics(nn.Module):
    """Two independent MLPs Q1 and Q2 with ReLU, of the same sizes.

    Attributes:
        weights: one [2, in, out] a layer.
        biases: one [2, 1, out] a layer.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        sizes = (inputs, *hidden, 1)
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, outputs in zip(sizes, sizes[1:], strict=False):
            bound = 1 / math.sqrt(fan_in)  # as torch.nn.Linear starts
            for target, shape in (
                (self.weights, (2, fan_in, outputs)),
                (self.biases, (2, 1, outputs)),
            ):
                uniform = torch.rand(shape, generator=generator) * 2 - 1
                target.append(nn.Parameter(uniform * bound))

    def forward(self, inputs: Tensor) -> Tensor:
        """Values [2, B] for observations beside actions [B, n + m]."""
        return self._values(inputs.expand(2, -1, -1), slice(None))

    def first(self, inputs: Tensor) -> Tensor:
        """Q1's values [B] for observations beside actions [B, n + m]."""
        return self._values(inputs[None], slice(0, 1))[0]

    def _values(self, hidden: Tensor, which: slice) -> Tensor:
        last = len(self.weights) - 1
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias[which], hidden, weight[which])
            if index < last:
                hidden = hidden.relu()
        return hidden[..., 0]
