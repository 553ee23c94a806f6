"""Bayesian Policy Distillation on one page, to read beside the paper and the fast engine.

The operations are those of the code that accompanies the paper (Kim et al. 2026), in our own words:
one module per layer, separate critics, ordinary Adam, targets that follow one parameter after
another, and log α as the last forward pass left it. One student, float32, physical units. Where the
paper's formulas differ from that program, they are available too: `imitation="sum"`,
`deviation=right_deviation`. Tests hold the engine in `bpd.py` equal to this page to rounding, and
the engine's speed is measured against it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear, mse_loss

Array = NDArray[np.float32]
Minibatch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Observations, actions, rewards, next observations, whether the episode ended there."""


def authors_deviation(inputs: Tensor, log_sigma: Tensor) -> Tensor:
    """Σ |x| σ², as the authors' code has it."""
    return linear(inputs.square().sqrt(), (2 * log_sigma).exp() + 1e-8)


def right_deviation(inputs: Tensor, log_sigma: Tensor) -> Tensor:
    """√(Σ x² σ²), as the paper has it: to compare what is learnt with the engine."""
    return (linear(inputs.square(), (2 * log_sigma).exp()) + 1e-12).sqrt()


class SparseLinear(nn.Module):
    """Variational dropout on each weight."""

    def __init__(self, inputs: int, outputs: int, deviation: Callable[..., Tensor]) -> None:
        super().__init__()
        self.mean = nn.Parameter(0.02 * torch.randn(outputs, inputs))
        self.log_sigma = nn.Parameter(torch.full((outputs, inputs), -5.0))
        self.bias = nn.Parameter(torch.zeros(1, outputs))
        self.deviation = deviation
        self.log_alpha = torch.zeros(outputs, inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        log_alpha = 2 * self.log_sigma - 2 * torch.log(1e-16 + self.mean.abs())
        self.log_alpha = log_alpha.clamp(-10, 10)
        mean = linear(inputs, self.mean) + self.bias
        deviation = self.deviation(inputs, self.log_sigma)
        return mean + deviation * torch.randn_like(deviation)

    def divergence(self) -> Tensor:
        share = torch.sigmoid(1.8732 + 1.48695 * self.log_alpha)
        return -(0.63576 * share - 0.5 * torch.log1p(torch.exp(-self.log_alpha))).sum()


class Student(nn.Module):
    """The student: two hidden layers of 128, ReLU, tanh, scaled to the action's bounds."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        deviation: Callable[..., Tensor],
        low: Tensor,
        high: Tensor,
    ) -> None:
        super().__init__()
        pairs = zip(sizes, sizes[1:], strict=False)
        self.layers = nn.ModuleList(SparseLinear(n, m, deviation) for n, m in pairs)
        self.scale, self.offset = (high - low) / 2, (high + low) / 2

    def forward(self, observations: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            observations = torch.relu(layer(observations))
        return torch.tanh(last(observations)) * self.scale + self.offset

    def divergence(self) -> Tensor:
        """Return the divergence of all weights together."""
        layers = [layer.divergence() for layer in self.layers if isinstance(layer, SparseLinear)]
        return torch.stack(layers).sum()


class Critic(nn.Module):
    """One value network."""

    def __init__(self, inputs: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden[0]), nn.Linear(*hidden)
        self.third = nn.Linear(hidden[1], 1)

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        inputs = torch.cat([observations, actions], 1)
        value: Tensor = self.third(torch.relu(self.second(torch.relu(self.first(inputs)))))
        return value


class PlainBpd:
    """The paper's loop with its settings.

    Args:
        columns: observations [N, n], actions [N, m], rewards, next observations and ends [N, 1].
        hidden: sizes of the student's hidden layers.
        steps: number of steps over which η grows.
        seed: for torch's and numpy's global generators.
        deviation: standard deviation of the weights' noise: the authors' program's, or the paper's.
        imitation: how the squared error combines an action's elements: the mean, as in the program,
            or the sum, as in the paper.
        low, high: the action's bounds, [m] or the same for all.
    """

    def __init__(
        self,
        columns: tuple[Array, ...],
        hidden: tuple[int, int] = (128, 128),
        steps: int = 1_000_000,
        seed: int = 0,
        *,
        critic_hidden: tuple[int, int] = (256, 256),
        learning_rate: float = 3e-4,
        batch_size: int = 256,
        kl_multiplier: float = 1.0,
        student_interval: int = 2,
        deviation: Callable[..., Tensor] = authors_deviation,
        imitation: Literal["mean", "sum"] = "mean",
        low: float | Array = -1.0,
        high: float | Array = 1.0,
    ) -> None:
        torch.manual_seed(seed)
        self.rows = np.random.default_rng(seed)
        self.columns, self.size = columns, len(columns[0])
        n, m = columns[0].shape[1], columns[1].shape[1]
        self.low, self.high = (torch.full((m,), 1.0) * torch.as_tensor(v) for v in (low, high))
        self.student = Student((n, *hidden, m), deviation, self.low, self.high)
        self.critics = nn.ModuleList(Critic(n + m, critic_hidden) for _ in range(2))
        self.target_student = copy.deepcopy(self.student)
        self.target_critics = copy.deepcopy(self.critics)
        self.student_adam = torch.optim.Adam(self.student.parameters(), lr=learning_rate)
        self.critics_adam = torch.optim.Adam(self.critics.parameters(), lr=3e-4)
        self.steps, self.batch_size, self.student_interval = steps, batch_size, student_interval
        self.kl_multiplier, self.imitation = kl_multiplier, imitation
        self.steps_done = 0
        self.losses: dict[str, Tensor] = {}

    def update(self) -> None:
        """Update on one minibatch."""
        rows = self.rows.integers(0, self.size, self.batch_size)
        observations, actions, rewards, after, ends = (
            torch.from_numpy(column[rows]) for column in self.columns
        )
        self._update_critics((observations, actions, rewards, after, ends))
        self.steps_done += 1
        if self.steps_done % self.student_interval == 0:
            self._update_student(observations, actions)
            self._soft_update(self.critics, self.target_critics)
            self._soft_update(self.student, self.target_student)

    def _update_critics(self, batch: Minibatch) -> None:
        observations, actions, rewards, after, ends = batch
        with torch.no_grad():
            next_actions = self.target_student(after).clamp(self.low, self.high)
            worst = torch.min(*(critic(after, next_actions) for critic in self.target_critics))
            target = rewards + (1 - ends) * 0.99 * worst
        values = [critic(observations, actions) for critic in self.critics]
        loss = mse_loss(values[0], target) + mse_loss(values[1], target)
        self.critics_adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.critics_adam.step()
        self.losses["critics"] = loss.detach()

    def _update_student(self, observations: Tensor, actions: Tensor) -> None:
        proposed = self.student(observations)
        values = self.critics[0](observations, proposed)
        lambda_ = 0.5 * self.size / values.abs().mean().detach()
        squares = (proposed - actions) ** 2
        imitation = squares.mean() if self.imitation == "mean" else squares.sum(dim=1).mean()
        divergence = self.student.divergence()
        eta = self.kl_multiplier * min(4 * self.steps_done / self.steps, 2.0)
        loss = -lambda_ * values.mean() + self.size * imitation + eta * divergence
        self.student_adam.zero_grad()
        loss.backward()
        self.student_adam.step()
        self.losses |= {"imitation": imitation.detach(), "divergence": divergence.detach()}

    @staticmethod
    def _soft_update(online: nn.Module, target: nn.Module) -> None:
        for mine, its in zip(online.parameters(), target.parameters(), strict=True):
            its.data.copy_(0.005 * mine.data + (1 - 0.005) * its.data)
