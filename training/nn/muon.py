"""Muon for dense networks: a step as long along each direction of a matrix as along any other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsectl.training.nn.flat import FlatAdam

MOMENTUM = 0.95
RATE = 5.0
"""Muon's learning rate as a multiple of Adam's, found for students of images."""


class DenseMuon:
    """Muon for a module's matrices and Adam for its vectors.

    A gradient of a matrix has few strong directions; Muon steps equally far along all of them
    (Jordan et al. 2024), scaled so that an element moves as far as by Adam (Liu et al. 2025, arXiv
    2502.16982, section 2.2).

    Args:
        module: what learns; its parameters are matrices [out, in] and vectors.
        learning_rate: Adam's; Muon's is `RATE` times as high.
    """

    def __init__(self, module: nn.Module, learning_rate: float) -> None:
        self._parameters = list(module.parameters())
        self._matrices = [each for each in self._parameters if each.ndim == 2]
        vectors = nn.ParameterList(each for each in self._parameters if each.ndim == 1)
        self._adam = FlatAdam(vectors, learning_rate)
        self._muon = torch.optim.Muon(
            self._matrices,
            RATE * learning_rate,
            weight_decay=0.0,
            momentum=MOMENTUM,
            adjust_lr_fn="match_rms_adamw",
        )
        for matrix in self._matrices:  # before the first step, for a checkpoint to be read into
            self._muon.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the steps from now on, Adam's."""
        self._muon.param_groups[0]["lr"] = RATE * learning_rate
        self._adam.set_learning_rate(learning_rate)

    def step(self, loss: Tensor) -> None:
        """Take one step down the loss, a scalar."""
        self._muon.zero_grad()
        self._adam.gradient.zero_()
        torch.autograd.backward(loss, inputs=self._parameters)
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adam.apply()

    def state(self, name: str) -> dict[str, Tensor]:
        """Return parameters, momenta and the number of steps, for a checkpoint; not copies."""
        found = self._adam.state(name)
        for index, matrix in enumerate(self._matrices):
            found[f"{name}.matrix.{index}"] = matrix.data
            found[f"{name}.momentum.{index}"] = self._muon.state[matrix]["momentum_buffer"]
        return found
