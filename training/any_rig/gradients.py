"""Compute gradients of a student over a part of an episode, by torch or, where numba is installed,
compiled."""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sparsectl.training.any_rig.acting import Array
from sparsectl.training.any_rig.recurrent import GruStudent, StackStudent


class Gradients(Protocol):
    """Computes the gradients of one student into the `grad` of its parameters."""

    def begin(self, rigs: int) -> Any:
        """Return what is carried into the first part of an episode."""

    def of(self, inputs: Array, labels: Array, share: Array, carried: Any) -> tuple[float, Any]:
        """Compute the gradients; return the loss, and what is carried into the next part.

        Args:
            inputs: [ticks, rigs, inputs].
            labels: duties [ticks, rigs].
            share: share of each squared difference in the loss, [ticks, rigs].
            carried: what the part before returned.
        """


class ByTorch:
    """Computes the gradients of any student by autograd."""

    def __init__(self, student: GruStudent | StackStudent) -> None:
        self._student = student

    def begin(self, rigs: int) -> Any:
        return None

    def of(self, inputs: Array, labels: Array, share: Array, carried: Any) -> tuple[float, Any]:
        given, wanted, weights = (
            torch.from_numpy(np.ascontiguousarray(array)) for array in (inputs, labels, share)
        )
        duties, after = self._student(given, carried)
        loss = ((duties - wanted) ** 2 * weights).sum()
        loss.backward()
        return float(loss.detach()), after.detach()


class Compiled:
    """Computes the gradients of a GRU several times as fast; torch mostly starts operations, tick
    after tick."""

    def __init__(self, student: GruStudent) -> None:
        self._units = student.gru.hidden_size
        self._parameters = student.in_order()
        self._numbers: list[Array] = [parameter.detach().numpy() for parameter in self._parameters]

    def begin(self, rigs: int) -> Any:
        return np.zeros((self._units, rigs), np.float32)

    def of(self, inputs: Array, labels: Array, share: Array, carried: Any) -> tuple[float, Any]:
        from sparsectl.training.any_rig.gru_gradient import gru_gradient

        gradients = [np.zeros_like(numbers) for numbers in self._numbers]
        state = carried.copy()
        loss = gru_gradient(
            np.ascontiguousarray(inputs.transpose(0, 2, 1)),
            np.ascontiguousarray(labels),
            np.ascontiguousarray(share),
            state,
            *self._numbers,
            *gradients,
        )
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        return float(loss), state


class Surrogate:
    """Computes the gradients of a GRU's clipped surrogate objective (Schulman et al., "Proximal
    Policy Optimization Algorithms", 2017): its duties are the means of normal distributions."""

    def __init__(self, student: GruStudent) -> None:
        self._units = student.gru.hidden_size
        self._parameters = student.in_order()
        self._numbers: list[Array] = [parameter.detach().numpy() for parameter in self._parameters]

    def begin(self, rigs: int) -> Array:
        """Return what is carried into the first part of an episode."""
        return np.zeros((self._units, rigs), np.float32)

    def of(
        self,
        inputs: Array,
        before: Array,
        asked: Array,
        deviation: Array,
        advantages: Array,
        running: NDArray[np.bool_],
        clip: float,
        carried: Array,
    ) -> tuple[float, float, Array]:
        """Compute the gradients; return the mean divergence from the student that drove, the share
        of duties that were clipped, and what is carried into the next part.

        Args:
            inputs: [ticks, rigs, inputs].
            before: duties that the student gave which drove, [ticks, rigs].
            asked: the same with noise, likewise, as is all that follows.
            deviation: of that noise.
            advantages: how much better it went than expected.
            running: which ticks count.
            clip: by how much the probability of a duty may rise or fall.
            carried: what the part before returned.
        """
        from sparsectl.training.any_rig.gru_gradient import gru_backward, gru_forward

        weight_hh, weight = self._numbers[1], self._numbers[4]
        given = np.ascontiguousarray(inputs.transpose(0, 2, 1))
        trace = gru_forward(given, carried, *self._numbers)
        variance = deviation**2
        apart = (asked - before) ** 2 - (asked - trace.duties) ** 2
        ratio = np.exp(np.clip(apart / (2.0 * variance), -5.0, 5.0))
        free = np.where(advantages > 0.0, ratio < 1.0 + clip, ratio > 1.0 - clip) & running
        slopes = -advantages * ratio * free * (asked - trace.duties) / (variance * running.size)
        gradients = [np.zeros_like(numbers) for numbers in self._numbers]
        gru_backward(given, trace, slopes.astype(np.float32), weight_hh, weight, *gradients)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        count = max(int(running.sum()), 1)
        divergence = float(((trace.duties - before) ** 2 / (2.0 * variance) * running).sum())
        clipped = float((running & ~free).sum())
        return divergence / count, clipped / count, trace.states[-1].copy()


def gradients_of(student: GruStudent | StackStudent) -> Gradients:
    """Return the fastest way for a student."""
    if isinstance(student, GruStudent) and importlib.util.find_spec("numba") is not None:
        return Compiled(student)
    return ByTorch(student)
