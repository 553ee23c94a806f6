"""All parameters of a network in one tensor, so that Adam and target updates are one operation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

Shape = tuple[int, ...]


def views(values: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """Return consecutive parts of a flat tensor [P], each as a tensor of its shape, sharing its
    memory."""
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
        self._rate = learning_rate
        self._count = torch.zeros((), device=values.device)
        self._first, self._second = torch.zeros_like(values), torch.zeros_like(values)

    @torch.no_grad()
    def apply(self) -> None:
        """Take one step of Adam along the present gradient.

        As torch.optim.Adam's, called without the class, whose own work takes as long.
        """
        adam(
            [self.values],
            [self.gradient],
            [self._first],
            [self._second],
            [],
            [self._count],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the steps from now on."""
        self._rate = learning_rate

    def state(self, name: str) -> dict[str, Tensor]:
        """Return parameters, moments and the number of steps, for a checkpoint; not copies."""
        return {
            f"{name}.values": self.values,
            f"{name}.first_moment": self._first,
            f"{name}.second_moment": self._second,
            f"{name}.count": self._count,
        }


class FlatAdam(VectorAdam):
    """Adam over a module's parameters as one tensor; changing `values` changes the module."""

    def __init__(self, module: nn.Module, learning_rate: float) -> None:
        super().__init__(flat_values(module), learning_rate)
        self._parameters = list(module.parameters())
        shapes = [tuple(parameter.shape) for parameter in self._parameters]
        for parameter, view in zip(self._parameters, views(self.gradient, shapes), strict=True):
            parameter.grad = view

    def step(self, *losses: Tensor, gradients: Sequence[Tensor | None] | None = None) -> None:
        """Take one step of Adam down the losses; other modules in them are left alone.

        Args:
            losses: scalars, or tensors that are not; then `gradients` has, for each, the derivative
                of the whole loss with respect to its elements.
        """
        self.gradient.zero_()
        torch.autograd.backward(losses, gradients, inputs=self._parameters)
        self.apply()
