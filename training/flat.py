"""All parameters of a network in one tensor, so that Adam and target updates are one operation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


def views(values: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """Consecutive parts of a flat tensor [P], each as a tensor of its shape, sharing its memory."""
    ends = list(accumulate(prod(shape) for shape in shapes))
    starts = [0, *ends]
    return [
        values[start:end].view(shape)
        for start, end, shape in zip(starts, ends, shapes, strict=False)
    ]


def flat_values(module: nn.Module) -> Tensor:
    """Move the module's parameters into one tensor [P]; they become views of it and stay in use."""
    parameters = list(module.parameters())
    values = torch.cat([parameter.detach().flatten() for parameter in parameters])
    shapes = [tuple(parameter.shape) for parameter in parameters]
    for parameter, view in zip(parameters, views(values, shapes), strict=True):
        parameter.data = view
    return values


class VectorAdam:
    """Adam over one tensor, fused.

    Attributes:
        values: [P], what is learnt.
        gradient: [P], to be filled before each step.
    """

    def __init__(self, values: Tensor, learning_rate: float) -> None:
        self.values = values
        self.gradient = torch.zeros_like(values)
        self._leaf = nn.Parameter(values)
        self._leaf.grad = self.gradient
        self._adam = torch.optim.Adam([self._leaf], lr=learning_rate, fused=True)
        # Adam makes its moments at the first step; made here, a checkpoint can fill them.
        self._adam.state[self._leaf] = {
            "step": torch.zeros((), device=values.device),
            "exp_avg": torch.zeros_like(values),
            "exp_avg_sq": torch.zeros_like(values),
        }

    def apply(self) -> None:
        """One step of Adam along the gradient as it stands."""
        self._adam.step()

    def set_learning_rate(self, learning_rate: float) -> None:
        """The rate of the steps from now on."""
        self._adam.param_groups[0]["lr"] = learning_rate

    def state(self, name: str) -> dict[str, Tensor]:
        """Parameters, moments and count of steps, for a checkpoint; not copies."""
        own = self._adam.state[self._leaf]
        return {
            f"{name}.values": self.values,
            f"{name}.first_moment": own["exp_avg"],
            f"{name}.second_moment": own["exp_avg_sq"],
            f"{name}.count": own["step"],
        }


class FlatAdam(VectorAdam):
    """Adam over a module's parameters as one tensor; changing `values` changes the module."""

    def __init__(self, module: nn.Module, learning_rate: float) -> None:
        super().__init__(flat_values(module), learning_rate)
        self._parameters = list(module.parameters())
        shapes = [tuple(parameter.shape) for parameter in self._parameters]
        for parameter, view in zip(self._parameters, views(self.gradient, shapes), strict=True):
            parameter.grad = view

    def step(self, *losses: Tensor, slopes: Sequence[Tensor | None] | None = None) -> None:
        """One step of Adam down the losses; other modules in them are left alone.

        Args:
            losses: scalars; or tensors with, in `slopes`, what the whole loss changes by as each
                of their elements does.
        """
        self.gradient.zero_()
        torch.autograd.backward(losses, slopes, inputs=self._parameters)
        self.apply()
