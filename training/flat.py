"""All parameters of a network in one tensor, so that Adam and target updates are one operation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def flat_values(module: nn.Module) -> Tensor:
    """Move the module's parameters into one tensor [P]; they become views of it and stay in use."""
    parameters = list(module.parameters())
    total = sum(parameter.numel() for parameter in parameters)
    values = torch.empty(total, device=parameters[0].device)
    start = 0
    for parameter in parameters:
        view = values[start : start + parameter.numel()].view_as(parameter)
        view.copy_(parameter.detach())
        parameter.data = view
        start += parameter.numel()
    return values


class FlatAdam:
    """Adam over a module's parameters as one tensor, fused.

    Attributes:
        values: [P], all parameters; changing it changes the module.
    """

    def __init__(self, module: nn.Module, learning_rate: float) -> None:
        self.values = flat_values(module)
        self._parameters = list(module.parameters())
        self._gradient = torch.zeros_like(self.values)
        start = 0
        for parameter in self._parameters:
            end = start + parameter.numel()
            parameter.grad = self._gradient[start:end].view_as(parameter)
            start = end
        self._leaf = nn.Parameter(self.values)
        self._leaf.grad = self._gradient
        self._adam = torch.optim.Adam([self._leaf], lr=learning_rate, fused=True)
        # Adam makes its moments at the first step; made here, a checkpoint can fill them.
        self._adam.state[self._leaf] = {
            "step": torch.zeros((), device=self.values.device),
            "exp_avg": torch.zeros_like(self.values),
            "exp_avg_sq": torch.zeros_like(self.values),
        }

    def step(self, loss: Tensor) -> None:
        """One step of Adam down the loss's gradient; other modules in the loss are left alone."""
        self._gradient.zero_()
        torch.autograd.backward(loss, inputs=self._parameters)
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
