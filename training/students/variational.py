"""A student with variational dropout on each weight (Molchanov et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.priors import Divergence, log_alpha
from training.students.storage import StudentLayer

VARIANCE_FLOOR = 1e-12
"""Keeps the root's slope finite where an input is all zeros, as behind dead ReLUs."""


class VariationalLinear(nn.Module):
    """A linear layer whose weights are N(W, σ²), independently; the bias is a point.

    Attributes:
        mean, log_sigma: [out, in].
        bias: [out].
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generator: torch.Generator,
        weight_std: float = 0.02,
        log_sigma: float = -5.0,
    ) -> None:
        super().__init__()
        start = torch.randn(outputs, inputs, generator=generator) * weight_std
        self.mean = nn.Parameter(start)
        self.log_sigma = nn.Parameter(torch.full((outputs, inputs), log_sigma))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """A sample of the outputs [B, out] for inputs [B, in], by local reparameterisation.

        The outputs are drawn, not the weights: N(x Wᵀ + b, x² (σ²)ᵀ), independent in each row.
        """
        mean = torch.addmm(self.bias, inputs, self.mean.t())
        variance = inputs.square() @ (2 * self.log_sigma).exp().t()
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return torch.addcmul(mean, (variance + VARIANCE_FLOOR).sqrt(), noise)

    def log_alpha(self) -> Tensor:
        """log α [out, in], from the parameters as they are now."""
        return log_alpha(self.mean, self.log_sigma)


class VariationalStudent(nn.Module):
    """ReLU layers and a tanh output, between normalised observations and normalised actions."""

    def __init__(
        self,
        sizes: Sequence[int],
        generator: torch.Generator,
        weight_std: float = 0.02,
        log_sigma: float = -5.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            VariationalLinear(inputs, outputs, generator, weight_std, log_sigma)
            for inputs, outputs in zip(sizes, sizes[1:], strict=False)
        )

    def linear_layers(self) -> list[VariationalLinear]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, VariationalLinear)]

    def forward(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        """Sampled actions [B, m] in [-1, 1] for observations [B, n]."""
        *hidden, last = self.linear_layers()
        for layer in hidden:
            observations = layer(observations, generator).relu()
        actions: Tensor = last(observations, generator).tanh()
        return actions

    def divergence(self, prior: Divergence) -> Tensor:
        """The posterior's divergence from the prior, summed over all weights, a scalar."""
        parts = [prior(layer.mean, layer.log_sigma).sum() for layer in self.linear_layers()]
        return torch.stack(parts).sum()

    @torch.no_grad()
    def posterior(self) -> tuple[StudentLayer, ...]:
        """The layers as arrays."""
        return tuple(
            StudentLayer(
                layer.mean.cpu().numpy().copy(),
                layer.log_sigma.cpu().numpy().copy(),
                layer.bias.cpu().numpy().copy(),
            )
            for layer in self.linear_layers()
        )
