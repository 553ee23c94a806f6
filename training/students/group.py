"""Students with variational dropout on whole neurons, S of them at once.

Louizos, Ullrich, Welling: "Bayesian Compression for Deep Learning", 2017, section 4.1, with the
group normal-Jeffreys prior. Every input of a layer has a scale z ~ N(μ, σ²) that its outgoing
weights share; the weights are Gaussian given z. A neuron whose z is mostly noise is cut with all
its weights, so what is left is a smaller dense network, which needs no indices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sparsectl.policy.convolution import Convolution
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.students.priors import Divergence, gaussian, log_alpha
from sparsectl.training.students.variational import VARIANCE_FLOOR, Generators

SCALE_LOG_SIGMA = -4.0
"""Initial log σ of the scales; their means start at 1."""


class GroupLinear(nn.Module):
    """S linear layers with a scale for each input.

    Attributes:
        scale, scale_log_sigma: [S, 1, in], mean and log σ of z.
        mean, log_sigma: [S, out, in], those of the weights given z = 1.
        bias: [S, 1, out].
    """

    def __init__(self, inputs: int, outputs: int, generators: Generators, log_sigma: float) -> None:
        super().__init__()
        start = [torch.randn(outputs, inputs, generator=one) for one in generators]
        self.mean = nn.Parameter(torch.stack(start) * (2 / inputs) ** 0.5)
        self.log_sigma = nn.Parameter(torch.full_like(self.mean, log_sigma))
        self.bias = nn.Parameter(torch.zeros(len(generators), 1, outputs))
        self.scale = nn.Parameter(torch.ones(len(generators), 1, inputs))
        self.scale_log_sigma = nn.Parameter(torch.full_like(self.scale, SCALE_LOG_SIGMA))

    def forward(self, inputs: Tensor, scale_noise: Tensor, noise: Tensor) -> Tensor:
        """Return a sample of the outputs [S, B, out]; the noises are standard normal, [S, B, in or
        out].

        A scale is drawn for each observation, the weights by local reparameterisation given it
        (Louizos et al., section 4.1: each data point has its own z).
        """
        scaled = inputs * torch.addcmul(self.scale, self.scale_log_sigma.exp(), scale_noise)
        mean = torch.baddbmm(self.bias, scaled, self.mean.transpose(1, 2))
        variance = torch.bmm(scaled.square(), (2 * self.log_sigma).exp().transpose(1, 2))
        return torch.addcmul(mean, (variance + VARIANCE_FLOOR).sqrt(), noise)

    def divergences(self, prior: Divergence) -> list[Tensor]:
        """Return those of the scales, [S, 1, in], and of the weights given z from N(0, 1), [S, out,
        in]."""
        return [
            prior(self.scale, self.scale_log_sigma),
            gaussian(self.mean, self.log_sigma),
        ]


class GroupStudent(nn.Module):
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
        """`weight_std` is not used: the scales shrink the weights, so these start larger.

        There is no convolution: a scale belongs to one neuron, and a channel has one at each place.
        """
        super().__init__()
        assert convolution is None
        self.layers = nn.ModuleList(
            GroupLinear(inputs, outputs, generators, log_sigma)
            for inputs, outputs in zip(sizes, sizes[1:], strict=False)
        )

    @staticmethod
    def noise_widths(sizes: Sequence[int]) -> list[int]:
        """Number of random numbers per observation: each layer's inputs, then its outputs."""
        return [width for pair in zip(sizes, sizes[1:], strict=False) for width in pair]

    def linear_layers(self) -> list[GroupLinear]:
        """Return the layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, GroupLinear)]

    def forward(self, observations: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Return sampled actions [S, B, m] in [-1, 1], or values of choices, for observations [S,
        B, n]; the noise has `noise_widths`."""
        last = len(self.layers) - 1
        for index, layer in enumerate(self.linear_layers()):
            observations = layer(observations, noise[2 * index], noise[2 * index + 1])
            if index < last:
                observations = observations.relu()
            elif self.squashed:
                observations = observations.tanh()
        return observations

    def divergences(self, prior: Divergence) -> list[Tensor]:
        """Return the divergences of all layers, each with S as the first dimension."""
        return [part for layer in self.linear_layers() for part in layer.divergences(prior)]

    @torch.no_grad()
    def posterior(self, student: int = 0) -> tuple[StudentLayer, ...]:
        """Return the layers of one student as arrays: the weights times their scale.

        log σ is set so that each weight has its neuron's log α: a threshold cuts whole columns.
        """
        layers = []
        for layer in self.linear_layers():
            mean = (layer.mean * layer.scale)[student]
            noise = log_alpha(layer.scale, layer.scale_log_sigma)[student]
            log_sigma = 0.5 * noise + (mean.abs() + 1e-20).log()
            parts = mean, log_sigma, layer.bias[student, 0]
            first, second, third = (part.cpu().numpy().copy() for part in parts)
            layers.append(StudentLayer(first, second, third))
        return tuple(layers)
