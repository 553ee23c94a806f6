"""Students with variational dropout on each weight (Molchanov et al. 2017), S of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sparsectl.policy.convolution import Convolution
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.students.images import matrices, patches
from sparsectl.training.students.priors import Divergence, log_alpha

VARIANCE_FLOOR = 1e-12
"""Keeps the gradient of the root finite if all inputs are zero, as after dead ReLUs."""

AUTHORS_FLOOR = 1e-8

Generators = Sequence[torch.Generator]
"""One per student, so that a student does not depend on the others trained beside it."""


Deviation = Callable[[Tensor, Tensor], Tensor]
"""(inputs [S, B, in], log σ [S, out, in]) → deviation of the outputs' noise [S, B, out]."""


def local(inputs: Tensor, log_sigma: Tensor) -> Tensor:
    """Return √(Σ x² σ²), that of independent weights (Kingma, Salimans, Welling 2015)."""
    variance = torch.bmm(inputs.square(), (2 * log_sigma).exp().transpose(1, 2))
    return (variance + VARIANCE_FLOOR).sqrt()


def authors(inputs: Tensor, log_sigma: Tensor) -> Tensor:
    """Return Σ |x| (σ² + 1e-8), as the authors' program does; only to reproduce its results."""
    return torch.bmm(inputs.abs(), ((2 * log_sigma).exp() + AUTHORS_FLOOR).transpose(1, 2))


NOISES: dict[str, Deviation] = {"local": local, "authors": authors}


class VariationalLinear(nn.Module):
    """S linear layers with independent weights N(W, σ²) and a deterministic bias.

    Attributes:
        mean, log_sigma: [S, out, in].
        bias: [S, 1, out].
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generators: Generators,
        weight_std: float = 0.02,
        log_sigma: float = -5.0,
    ) -> None:
        super().__init__()
        start = [torch.randn(outputs, inputs, generator=generator) for generator in generators]
        self.mean = nn.Parameter(torch.stack(start) * weight_std)
        self.log_sigma = nn.Parameter(torch.full_like(self.mean, log_sigma))
        self.bias = nn.Parameter(torch.zeros(len(generators), 1, outputs))
        self.deviation: Deviation = local

    def forward(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """Return a sample of the outputs [S, B, out] for inputs [S, B, in], by local
        reparameterisation.

        The outputs are drawn, not the weights: N(x Wᵀ + b, x² (σ²)ᵀ), independent in each row;
        `noise` [S, B, out] is standard normal.
        """
        mean = torch.baddbmm(self.bias, inputs, self.mean.transpose(1, 2))
        return torch.addcmul(mean, self.deviation(inputs, self.log_sigma), noise)

    def log_alpha(self) -> Tensor:
        """Return log α [S, out, in] of the present parameters."""
        return log_alpha(self.mean, self.log_sigma)


class VariationalStudent(nn.Module):
    """ReLU layers and a tanh output, between normalised observations and normalised actions.

    Attributes:
        squashed: whether the tanh is there; without it the outputs are values of choices.
    """

    squashed = True

    def __init__(
        self,
        sizes: Sequence[int],
        generators: Generators,
        weight_std: float = 0.02,
        log_sigma: float = -5.0,
        convolution: Convolution | None = None,
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.layers = nn.ModuleList(
            VariationalLinear(inputs, outputs, generators, weight_std, log_sigma)
            for inputs, outputs in matrices(sizes, convolution)
        )

    @staticmethod
    def noise_widths(sizes: Sequence[int]) -> list[int]:
        """Number of random numbers that each layer needs per observation: one per output."""
        return list(sizes[1:])

    def use(self, deviation: Deviation) -> None:
        """Use this form of the noise."""
        for layer in self.linear_layers():
            layer.deviation = deviation

    def linear_layers(self) -> list[VariationalLinear]:
        """Return the layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, VariationalLinear)]

    def forward(self, observations: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Return sampled actions [S, B, m] in [-1, 1], or values of choices, for observations [S,
        B, n].

        Args:
            observations: each student's own minibatch.
            noise: standard normal, [S, B, out] for each layer.
        """
        *hidden, last = self.linear_layers()
        observed = observations.shape[:2]
        if self.convolution is not None:  # each place has its own noise, like each row
            observations = patches(observations, self.convolution)
        for layer, drawn in zip(hidden, noise, strict=False):
            drawn = drawn.reshape(*observations.shape[:2], -1)
            observations = layer(observations, drawn).relu().view(*observed, -1)
        outputs: Tensor = last(observations, noise[-1])
        return outputs.tanh() if self.squashed else outputs

    def divergences(self, prior: Divergence) -> list[Tensor]:
        """Return the divergence of each weight from the prior, [S, out, in] per layer."""
        return [prior(layer.mean, layer.log_sigma) for layer in self.linear_layers()]

    @torch.no_grad()
    def posterior(self, student: int = 0) -> tuple[StudentLayer, ...]:
        """Return the layers of one student as arrays."""
        return tuple(
            StudentLayer(
                layer.mean[student].cpu().numpy().copy(),
                layer.log_sigma[student].cpu().numpy().copy(),
                layer.bias[student, 0].cpu().numpy().copy(),
                convolution=self.convolution if index == 0 else None,
            )
            for index, layer in enumerate(self.linear_layers())
        )
