"""Deterministic students, S of them at once: the Bayesian ones without noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sparsectl.policy.convolution import Convolution
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.students.images import matrices, patches
from sparsectl.training.students.priors import Divergence
from sparsectl.training.students.variational import Generators

LOG_SIGMA = -5.0
"""Written into the student's file, which has a mask, so that it is not used."""


class DeterministicStudent(nn.Module):
    """ReLU layers and a tanh output, between normalised observations and normalised actions.

    Attributes:
        squashed: whether the tanh is there; without it the outputs are values of choices.
        means: [S, out, in] per layer.
        biases: [S, 1, out] per layer.
    """

    squashed = True
    pruned_by_noise = False
    """Every weight is kept; fine-tuning prunes."""

    def __init__(
        self,
        sizes: Sequence[int],
        generators: Generators,
        weight_std: float = 0.02,
        log_sigma: float = LOG_SIGMA,
        convolution: Convolution | None = None,
    ) -> None:
        """`weight_std` and `log_sigma` are for Bayesian students; weights start as in He et al.
        2015."""
        super().__init__()
        self.means, self.biases = nn.ParameterList(), nn.ParameterList()
        self.convolution = convolution
        for inputs, outputs in matrices(sizes, convolution):
            start = [torch.randn(outputs, inputs, generator=one) for one in generators]
            self.means.append(torch.stack(start) * (2 / inputs) ** 0.5)
            self.biases.append(torch.zeros(len(generators), 1, outputs))
        self.means[-1].data *= 0.3  # so that the tanh does not start saturated

    @staticmethod
    def noise_widths(sizes: Sequence[int]) -> list[int]:
        """Number of random numbers that each layer needs per observation: none."""
        return []

    def forward(self, observations: Tensor, noise: Sequence[Tensor] = ()) -> Tensor:
        """Return actions [S, B, m] in [-1, 1], or values of choices, for observations [S, B, n]."""
        last, observed = len(self.means) - 1, observations.shape[:2]
        if self.convolution is not None:
            observations = patches(observations, self.convolution)
        for index, (mean, bias) in enumerate(zip(self.means, self.biases, strict=True)):
            observations = torch.baddbmm(bias, observations, mean.transpose(1, 2))
            if index < last:
                observations = observations.relu().view(*observed, -1)
            elif self.squashed:
                observations = observations.tanh()
        return observations

    def divergences(self, prior: Divergence) -> list[Tensor]:
        """Return the penalty of each weight, a tensor per layer."""
        return [prior(mean, mean) for mean in self.means]

    @torch.no_grad()
    def posterior(self, student: int = 0) -> tuple[StudentLayer, ...]:
        """Return the layers of one student as arrays; the mask keeps every weight."""
        layers = []
        for index, (mean, bias) in enumerate(zip(self.means, self.biases, strict=True)):
            weights = mean[student].cpu().numpy().copy()
            log_sigma, mask = weights * 0 + LOG_SIGMA, weights == weights
            biases = bias[student, 0].cpu().numpy().copy()
            where = self.convolution if index == 0 else None
            layers.append(StudentLayer(weights, log_sigma, biases, mask, where))
        return tuple(layers)
