"""Forward and backward passes of students: written out if that is faster, otherwise by autograd."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from sparsectl.training.students.priors import Divergence
from sparsectl.training.students.registry import Student
from sparsectl.training.students.reparameterised import VariationalPass
from sparsectl.training.students.variational import VariationalStudent, local


class StudentPass(Protocol):
    """Actions of S students for their minibatches, and gradients of their parameters."""

    def refresh(self) -> None:
        """Read the present parameters."""

    def actions(self, observations: Tensor, noise: list[Tensor]) -> Tensor:
        """Return sampled actions [S, B, m] for observations [S, B, n], without a graph of
        autograd."""

    def backward(self, gradient: Tensor, divergence: Divergence, weights: Tensor) -> Tensor:
        """Set the parameters' gradients from the gradient [S, B, m] of the last actions.

        The divergence, with its weights [S], is added to the loss. Returns the students'
        divergences [S], or zeros if all weights are 0.
        """


class GraphPass:
    """The pass of any student, by autograd, in float32."""

    def __init__(self, student: Student) -> None:
        self._student = student
        self._parameters = list(student.parameters())
        self._actions = torch.empty(0)

    def refresh(self) -> None:
        """Do nothing: the parameters are the student's own."""

    @torch.enable_grad()
    def actions(self, observations: Tensor, noise: list[Tensor]) -> Tensor:
        self._actions = self._student(observations, noise)
        return self._actions.detach()

    @torch.enable_grad()
    def backward(self, gradient: Tensor, divergence: Divergence, weights: Tensor) -> Tensor:
        # With a weight of 0 the divergence adds nothing, and would take a third of the time.
        parts = self._student.divergences(divergence) if bool(weights.any()) else []
        gradients = [weights.view(-1, 1, 1).expand_as(part) for part in parts]
        for parameter in self._parameters:
            assert parameter.grad is not None  # FlatAdam allocates it
            parameter.grad.zero_()
        torch.autograd.backward(
            [self._actions, *parts], [gradient, *gradients], inputs=self._parameters
        )
        sums = [part.detach().sum(dim=(1, 2)) for part in parts]
        return torch.stack(sums).sum(dim=0) if sums else torch.zeros_like(weights)


def pass_of(student: Student, rows: int, dtype: torch.dtype) -> StudentPass:
    """Return the fastest pass for this student."""
    if isinstance(student, VariationalStudent):
        local_noise = all(layer.deviation is local for layer in student.linear_layers())
        if local_noise and student.convolution is None:
            return VariationalPass(student, rows, dtype)
    return GraphPass(student)
